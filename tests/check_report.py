#!/usr/bin/env python3
"""Checks a report.html: tags that match, nothing from outside, its data readable. usage: check_report.py FILE

Prints the state, the number of the log's lines and of those that warn, and the steps of the pictures.
"""
import base64
import html.parser
import json
import re
import sys

VOID = {"meta", "link", "img", "input", "br", "hr", "path", "line", "rect"}


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.ids, self.texts, self.pictures = [], [], {}, []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        for name in ("src", "href", "srcset", "action", "poster"):
            assert attributes.get(name, "data:").startswith("data:"), f"<{tag} {name}={attributes[name]}> leads outside"
        assert tag not in ("link", "iframe", "object", "embed", "base"), f"<{tag}>"
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "img" and "data-step" in attributes:
            kind, data = attributes["src"].split(",", 1)
            assert kind == "data:image/png;base64" and base64.b64decode(data, validate=True)[:8] == b"\x89PNG\r\n\x1a\n"
            self.pictures.append(int(attributes["data-step"]))
        if tag not in VOID:
            self.open.append((tag, attributes.get("id")))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, f"</{tag}> where <{self.open[-1:]}> is open"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1][1]:
            name = self.open[-1][1]
            self.texts[name] = self.texts.get(name, "") + data


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        text = file.read()
    page = Page()
    page.feed(text)
    page.close()
    assert text.startswith("<!DOCTYPE html>") and not page.open, f"open at the end: {page.open}"
    assert len(page.ids) == len(set(page.ids)), "an id twice"
    assert not re.search(r"https?://|\bfetch\(|XMLHttpRequest|@import|url\((?!#)", text), "something from outside"
    run, config = json.loads(page.texts["run"]), json.loads(page.texts["config"])
    lines = [json.loads(line) for line in page.texts["log"].split("\n") if line]
    assert isinstance(config, dict) and all("step" in line for line in lines)
    assert page.pictures == sorted(page.pictures)
    print("state:", run["state"])
    print("data:", config["data"])
    print("lines:", len(lines), "warnings:", sum("warning" in line for line in lines), "last:", lines[-1]["step"] if lines else None)
    print("pictures:", *page.pictures)


main()
