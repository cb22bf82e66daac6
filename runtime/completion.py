"""The command `tickline completion`: scripts for bash, zsh and fish, made of the parsers themselves."""

import argparse
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_PATHS = {"FILE", "DIR", "PATH", "MODEL", "IN", "OUT", "OUT_DIR", "INPUT"}


@dataclass(frozen=True, slots=True)
class _Option:
    """A flag of a command: what follows it, nothing, one of some words, a path, or something that nobody can guess."""

    flags: tuple[str, ...]
    summary: str
    choices: tuple[str, ...]
    takes_path: bool
    takes_value: bool


@dataclass(frozen=True, slots=True)
class _Command:
    name: str
    summary: str
    words: tuple[str, ...]
    takes_path: bool
    options: tuple[_Option, ...]


def add_completion(parser: argparse.ArgumentParser) -> None:
    """Give the parser the arguments of `tickline completion`."""
    parser.epilog = (
        "examples:\n"
        '  eval "$(tickline completion bash)"                          in ~/.bashrc\n'
        '  eval "$(tickline completion zsh)"                           in ~/.zshrc\n'
        "  tickline completion fish > ~/.config/fish/completions/tickline.fish"
    )
    parser.add_argument("shell", choices=tuple(_SHELLS), help="the shell that reads the script")
    parser.set_defaults(run=_print)


def _print(options: argparse.Namespace) -> None:
    print(_SHELLS[options.shell](list(_read(options.front_door))))


def _read(parser: argparse.ArgumentParser) -> Iterator[_Command]:
    """Yield what each command takes, as its parser says."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    summaries = {action.dest: action.help or "" for action in commands._choices_actions}
    for name, command in commands.choices.items():
        positional = [action for action in command._actions if not action.option_strings]
        words = tuple(str(word) for action in positional for word in action.choices or ())
        flags = tuple(_option(action) for action in command._actions if action.option_strings)
        yield _Command(name, summaries[name], words, any(map(_is_path, positional)), flags)


def _option(action: argparse.Action) -> _Option:
    summary = (action.help or "").replace("%%", "%").partition(" (%(default)s)")[0]
    return _Option(
        flags=tuple(action.option_strings),
        summary=summary.partition(": ")[0],
        choices=_choices(action),
        takes_path=_is_path(action),
        takes_value=action.nargs != 0,
    )


def _choices(action: argparse.Action) -> tuple[str, ...]:
    """Return the words that a flag takes: those that its parser checks, or else those that help shows."""
    if action.choices:
        return tuple(map(str, action.choices))
    shown = action.metavar if isinstance(action.metavar, str) else ""
    return tuple(shown[1:-1].split(",")) if shown.startswith("{") else ()


def _is_path(action: argparse.Action) -> bool:
    return action.metavar in _PATHS


def _bash(commands: list[_Command]) -> str:
    """Return a script for bash; zsh runs it too, by its own imitation of bash."""
    after, words = [], []
    for command in commands:
        flags = " ".join(flag for option in command.options for flag in option.flags)
        words.append(f"    {command.name}) words={shlex.quote(' '.join((*command.words, flags)))} ;;")
        for option in command.options:
            places = "|".join(f"'{command.name} {flag}'" for flag in option.flags)
            if option.choices:
                after.append(f"    {places}) values={shlex.quote(' '.join(option.choices))} ;;")
            elif option.takes_path:
                after.append(f"    {places}) files=1 ;;")
            elif option.takes_value:
                after.append(f"    {places}) return ;;")
    names = " ".join(command.name for command in commands)
    with_files = "|".join(command.name for command in commands if command.takes_path)
    return "\n".join(
        [
            "_tickline() {",
            '  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" words= values= files=',
            # Bash takes the sign in --flag=value for a word of its own.
            '  if [ "$current" = "=" ]; then current=; '
            'elif [ "$previous" = "=" ]; then previous="${COMP_WORDS[COMP_CWORD-2]}"; fi',
            "  COMPREPLY=()",
            "  if [ $COMP_CWORD -eq 1 ]; then",
            f"    COMPREPLY=($(compgen -W '{names} --help --version' -- \"$current\"))",
            "    return",
            "  fi",
            '  case "${COMP_WORDS[1]} $previous" in',
            *after,
            "  esac",
            '  if [ -n "$values" ]; then COMPREPLY=($(compgen -W "$values" -- "$current")); return; fi',
            '  if [ -n "$files" ]; then COMPREPLY=($(compgen -f -- "$current")); return; fi',
            '  case "${COMP_WORDS[1]}" in',
            *words,
            "  esac",
            '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
            '  case "${COMP_WORDS[1]}" in',
            f'    {with_files}) [[ "$current" == -* ]] || COMPREPLY+=($(compgen -f -- "$current")) ;;',
            "  esac",
            "}",
            "complete -o filenames -F _tickline tickline",
        ]
    )


def _zsh(commands: list[_Command]) -> str:
    loading = "autoload -Uz compinit bashcompinit\n(( $+functions[compdef] )) || compinit\nbashcompinit\n"
    return loading + _bash(commands)


def _fish(commands: list[_Command]) -> str:
    lines = ["complete -c tickline -f"]
    for command in commands:
        described = f"-d {shlex.quote(command.summary)}"
        lines.append(f"complete -c tickline -n __fish_use_subcommand -a {command.name} {described}")
        seen = f"complete -c tickline -n '__fish_seen_subcommand_from {command.name}'"
        if command.words:
            lines.append(f"{seen} -a {shlex.quote(' '.join(command.words))}")
        if command.takes_path:
            lines.append(f"{seen} -F")
        for option in command.options:
            names = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags)
            value = ""
            if option.choices:
                value = f" -x -a {shlex.quote(' '.join(option.choices))}"
            elif option.takes_path:
                value = " -r -F"
            elif option.takes_value:
                value = " -x"
            lines.append(f"{seen} {names}{value} -d {shlex.quote(option.summary)}")
    return "\n".join(lines)


_SHELLS: dict[str, Callable[[list[_Command]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
