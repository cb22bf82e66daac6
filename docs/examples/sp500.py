"""From S&P 500 bars to a served prediction: `python docs/examples/sp500.py [FOLDER]`.

Read it from above, like a notebook: every step prints what it found. FOLDER keeps bars, model and report.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from arch.data import sp500

from tickline import Client

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
folder.mkdir(parents=True, exist_ok=True)
tickline = [sys.executable, "-m", "tickline"]

# %% 1. Bars: daily, 1999 to 2018
bars = sp500.load()[["Open", "High", "Low", "Close", "Volume"]]
bars.insert(0, "Date", bars.index.strftime("%Y-%m-%d"))
bars.to_csv(folder / "bars.csv", index=False)
print(bars.tail(3).to_string(index=False))

# %% 2. A model of all but the last 250 bars, and its report
bars.iloc[:-250].to_csv(folder / "history.csv", index=False)
where = ["--model-path", str(folder / "models")]
subprocess.run([*tickline, "train", "--data", str(folder / "history.csv"), "--model", "logistic", *where], check=True)

# %% 3. One certified file
subprocess.run([*tickline, "export", *where], check=True)

# %% 4. A server on a free port of this machine
environ = {**os.environ, "HOST": "127.0.0.1", "PORT": "0", "WORKERS": "1"}
server = subprocess.Popen([*tickline, "serve", *where], env=environ, stderr=subprocess.PIPE, text=True)
try:
    assert server.stderr is not None
    for line in server.stderr:
        if "listening on" in line:
            port = int(line.partition("listening on ")[2].split()[0].rpartition(":")[2])
            break
    else:
        raise SystemExit("the server did not start")
    # %% 5. Every bar that the model has never seen, and how often it was right
    with Client(f"http://127.0.0.1:{port}", timeout=60) as client:
        unseen = client.predict_every_bar(bars.tail(300))[1:]
    up_next = (bars["Close"].shift(-1) > bars["Close"]).set_axis(bars["Date"])
    judged = [one for one in unseen if one.bar.date != bars["Date"].iloc[-1]]
    right = sum(one.label == ("UP" if up_next[one.bar.date] else "DOWN") for one in judged)
    always_up = sum(bool(up_next[one.bar.date]) for one in judged)
    newest = unseen[-1]
    print(f"\n{len(judged)} unseen days: {right} right; always UP would be right on {always_up}")
    print(f"after {newest.bar.date}: {newest.label} with probability {newest.probability:.3f}. No advice: see above.")
finally:
    server.terminate()
    server.wait()
