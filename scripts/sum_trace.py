#!/usr/bin/env python3
"""Sums up an LLM trace (TIMESTAMP,ContextTokens,GeneratedTokens) independently of Tollgate.

The demo assigns models by the place of a call in the trace, counted from 0: 32 consecutive calls are 4 workflows of 8 steps
that run side by side, so call i is step (i div 4) mod 8 of its workflow, and each step has its model (MODELS below).

    sum_trace.py TRACE                        prints calls, tokens and cost, per model and in all, as JSON
    sum_trace.py TRACE --compare DEMO_JSON    also compares with `tollgate demo --no-budgets --json`; exits with 1 if they differ
"""

import csv
import json
import sys
from decimal import Decimal

MODELS = [  # by step: model, USD per million input tokens, USD per million output tokens
    ("claude-3-5-sonnet-20241022", "3.00", "15.00"),
    ("gemini-1.5-flash", "0.075", "0.30"),
    ("gemini-1.5-flash", "0.075", "0.30"),
    ("llama3.2", "0", "0"),
    ("gpt-4o-mini", "0.15", "0.60"),
    ("gpt-4o", "2.50", "10.00"),
    ("gpt-4o-mini", "0.15", "0.60"),
    ("gpt-4o", "2.50", "10.00"),
]


def add(sums, input_tokens, output_tokens, usd):
    sums["calls"] += 1
    sums["input_tokens"] += input_tokens
    sums["output_tokens"] += output_tokens
    sums["usd"] += usd


def main(trace, demo=None):
    empty = {"calls": 0, "input_tokens": 0, "output_tokens": 0, "usd": Decimal(0)}
    total, models = dict(empty), {}
    with open(trace, newline="", encoding="utf-8") as lines:
        for i, row in enumerate(csv.DictReader(lines)):
            model, input_price, output_price = MODELS[i // 4 % 8]
            tokens = int(row["ContextTokens"]), int(row["GeneratedTokens"])
            usd = (tokens[0] * Decimal(input_price) + tokens[1] * Decimal(output_price)) / 1_000_000
            for sums in (total, models.setdefault(model, dict(empty))):
                add(sums, *tokens, usd)
    for sums in (total, *models.values()):
        sums["usd"] = format(sums["usd"].normalize(), "f")
    total["models"] = dict(sorted(models.items()))
    print(json.dumps(total, indent=2))
    if demo is not None:
        with open(demo, encoding="utf-8") as document:
            recorded = json.load(document)["recorded"]
        if recorded != total:
            sys.exit(f"the demo recorded something else: {json.dumps(recorded)}")
        print("the demo agrees to the last digit", file=sys.stderr)


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:] if argument != "--compare"]
    if len(arguments) not in (1, 2):
        sys.exit(__doc__)
    main(*arguments)
