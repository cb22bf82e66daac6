<#
.SYNOPSIS
Makes the development environment and a first model, by scripts/setup.sh in the Windows Subsystem for Linux.

.DESCRIPTION
The server runs on Linux: uvloop, one of its parts, exists nowhere on Windows. WSL 2 is Linux, and its ports are those of
this machine's localhost. A checkout inside WSL (\\wsl.localhost\...) is faster by far than one below C:\.

.PARAMETER Step
environment, kernels or model; without it all three.

.PARAMETER Distribution
A distribution of WSL; without it the default one.

.EXAMPLE
.\scripts\setup.ps1
wsl .venv/bin/tickline serve

.EXAMPLE
.\scripts\setup.ps1 -Distribution Debian
#>
[CmdletBinding()]
param(
    [ValidateSet('environment', 'kernels', 'model')]
    [string] $Step,

    [string] $Distribution
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

function Stop-Setup {
    param([string] $Message)
    [Console]::Error.WriteLine("setup: $Message")
    exit 1
}

if (-not (Get-Command wsl.exe -ErrorAction SilentlyContinue)) {
    Stop-Setup 'expected the Windows Subsystem for Linux (wsl.exe), found none; run "wsl --install" as administrator, restart, and try again'
}

$where = @()
if ($Distribution) { $where = @('--distribution', $Distribution) }

& wsl.exe @where --exec true
if ($LASTEXITCODE -ne 0) {
    Stop-Setup 'no distribution of Linux starts in WSL; "wsl --list --online" shows those that "wsl --install NAME" installs'
}

# WSL translates the folder of --cd itself.
$checkout = Split-Path -Parent $PSScriptRoot
$arguments = @()
if ($Step) { $arguments = @($Step) }
& wsl.exe @where --cd $checkout --exec sh scripts/setup.sh @arguments
if ($LASTEXITCODE -ne 0) {
    Stop-Setup "scripts/setup.sh ended with status $LASTEXITCODE; what it says above is the reason"
}
