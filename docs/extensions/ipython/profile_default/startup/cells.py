"""What cells of the site can use: `%%sh`, and `Frame` for pages that they write."""

import atexit
import csv
import html
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from IPython.core.magic import register_cell_magic


def reserve_port():
    """Return a socket of a free port, which no other program is given while the socket is open.

    A server can still listen there, as it does with the same option.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


#: The ports that readers see, and those that servers of the build use.
RESERVED = {shown: reserve_port() for shown in ("8080", "8081")}
PORTS = {shown: str(reserved.getsockname()[1]) for shown, reserved in RESERVED.items()}
PORT = PORTS["8080"]

ROOT = Path(os.environ["SLUGLINE_EXAMPLES"]).parent
sys.path += [str(ROOT / "docs" / "simulation"), str(ROOT / "tests")]

#: Servers in the background.
SERVERS = []


@register_cell_magic
def sh(line, cell):
    """Run a cell in a shell; what it prints to both streams comes in its order.

    `%%sh background` waits until the command says that it listens, and lets it run.
    `%%sh fails` wants a command that fails.
    """
    for shown, port in PORTS.items():
        cell = cell.replace(shown, port)
    run = subprocess.Popen(
        ["/bin/sh", "-e", "-c", cell],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"SLUGLINE_PORT": PORT},
    )
    for text in run.stdout:
        sys.stdout.write(as_shown(text))
        if line == "background" and "listening at" in text:
            SERVERS.append(run)
            return
    if (run.wait() != 0) != (line == "fails"):
        raise RuntimeError(f"exit status {run.returncode}")


def as_shown(text):
    """Return what a server says, with the ports that readers see."""
    for shown, port in PORTS.items():
        text = text.replace(port, shown)
    return text


@atexit.register
def press_ctrl_c():
    """End the servers in the background; what they say then is printed."""
    while SERVERS:
        end_last_server()


def end_last_server():
    """End the server that was started last; what it says then is printed."""
    run = SERVERS.pop()
    os.killpg(run.pid, signal.SIGINT)
    sys.stdout.write(as_shown(run.stdout.read()))
    run.wait()


def wait_until(is_so):
    """Wait until a function returns true: servers do some things after some seconds."""
    while not is_so():
        time.sleep(0.1)


class Frame:
    """An HTML file in a frame."""

    def __init__(self, path, title, height=420):
        page = html.escape(Path(path).read_text("utf-8"))
        self.html = f'<iframe srcdoc="{page}" title="{title}" height="{height}"></iframe>'

    def _repr_html_(self):
        return self.html


def example(*names):
    """Copy files of examples/ here."""
    for name in names:
        shutil.copy(Path(os.environ["SLUGLINE_EXAMPLES"]) / name, ".")


def fill_in_topics(path, most=None):
    """Do what a person does: read each ticket of a table, and fill in its topic."""
    import slugline

    corpus = slugline.load_corpus("tickets")
    topics = dict(zip(corpus.texts, corpus.topics, strict=True))
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        rows = [*csv.DictReader(file)]
    for row in rows[:most]:
        text = f"{row['subject']}\n{row['body']}" if row["subject"] else row["body"]
        row["topic"] = topics[text]
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def news_sentences():
    """Return sentences of BBC News by topic: some to learn from, and those of other articles."""
    import slugline

    corpus = slugline.load_corpus("bbc")
    articles = [*dict(zip(corpus.texts, corpus.topics, strict=True)).items()]
    random.Random(0).shuffle(articles)  # noqa: S311
    parts = ({}, {})
    seen = set()
    for number, (text, topic) in enumerate(articles):
        for sentence in re.split(r'(?<=[.!?"])\s+', text):
            if 60 <= len(sentence) <= 250 and sentence not in seen:
                seen.add(sentence)
                parts[number % 10 >= 7].setdefault(topic, []).append(sentence)
    for sentences in (*parts[0].values(), *parts[1].values()):
        random.Random(0).shuffle(sentences)  # noqa: S311
    return parts


def write_table(path, rows, columns=("text", "topic")):
    """Write rows as CSV, in a random order."""
    shuffled = random.Random(1).sample([*rows], len(rows))  # noqa: S311
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *shuffled])


def ticket_rows(*columns):
    """Return columns of the made-up tickets: id, subject, body and topic."""
    from importlib.resources import files

    with (files("slugline.corpus") / "tickets.csv").open(encoding="utf-8") as file:
        return [[row[name] for name in columns] for row in csv.DictReader(file)]
