"""One LLM call, from the question whether it may run to the question where the money went.

Needs a running server (`tollgate serve`) and the packages of requirements.txt. Exits with 1 if a figure is not exactly
what it has to be. Everything is recorded for a user and a session of this run alone, so it may be run again and again.
"""

import collections
import datetime
import importlib
import os
import pathlib
import secrets
import sys
import tempfile
import time
import uuid

import grpc
import grpc_tools
from grpc_tools import protoc

PROTO_ROOT = pathlib.Path(__file__).resolve().parents[2] / "proto"
SERVER = os.environ.get("TOLLGATE_URL", "127.0.0.1:4747").removeprefix("http://")
API_KEY = os.environ.get("TOLLGATE_API_KEY")
SECONDS = 10  # The longest wait for any answer.

INPUT_TOKENS, OUTPUT_TOKENS = 45_230, 12_890
# 45,230 × 2.50 + 12,890 × 10.00 USD per million tokens. Money is a decimal string, never a float.
USD = "0.241975"
TASK = "presentation_generate"


class Mismatch(Exception):
    """A figure is not what it has to be."""


def main():
    with tempfile.TemporaryDirectory() as folder:
        generate_stubs(pathlib.Path(folder))
        sys.path.insert(0, folder)
        with grpc.insecure_channel(SERVER) as channel:
            try:
                run(Tollgate(grpc.intercept_channel(channel, ShowKey(API_KEY)) if API_KEY else channel))
            except Mismatch as mismatch:
                sys.exit(f"mismatch: {mismatch}")
            except grpc.RpcError as error:
                sys.exit(f"{SERVER} answered {error.code().name}: {error.details()}")


def generate_stubs(folder):
    """Generates the Python code of the contract. A product would do this once and keep the result."""
    files = [str(file) for file in sorted((PROTO_ROOT / "tollgate/v1").glob("*.proto"))]
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    imports = [f"-I{PROTO_ROOT}", f"-I{well_known}"]
    if protoc.main(["protoc", *imports, f"--python_out={folder}", f"--grpc_python_out={folder}", *files]) != 0:
        sys.exit(f"the contract in {PROTO_ROOT} does not compile")


class CallDetails(
    collections.namedtuple("CallDetails", "method timeout metadata credentials wait_for_ready compression"),
    grpc.ClientCallDetails,
):
    """What is said of a call besides its message."""


class ShowKey(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Shows the API key with every call."""

    def __init__(self, key):
        self.header = ("authorization", f"Bearer {key}")

    def intercept_unary_unary(self, proceed, details, request):
        return proceed(self.keyed(details), request)

    def intercept_unary_stream(self, proceed, details, request):
        return proceed(self.keyed(details), request)

    def keyed(self, details):
        metadata = [*(details.metadata or ()), self.header]
        return CallDetails(
            details.method,
            details.timeout,
            metadata,
            details.credentials,
            details.wait_for_ready,
            details.compression,
        )


class Tollgate:
    """The generated code: messages by file, and the two services."""

    def __init__(self, channel):
        for name in ("budget", "budget_service", "check", "dimensions", "model", "summary", "totals", "usage", "usage_service"):
            setattr(self, name, importlib.import_module(f"tollgate.v1.{name}_pb2"))
        self.window = importlib.import_module("tollgate.v1.window_pb2")
        self.usage_calls = importlib.import_module("tollgate.v1.usage_service_pb2_grpc").UsageServiceStub(channel)
        self.budget_calls = importlib.import_module("tollgate.v1.budget_service_pb2_grpc").BudgetServiceStub(channel)


def run(api):
    run_id = secrets.token_hex(4)
    user, session = f"user-{run_id}", f"session-{run_id}"
    who = api.dimensions.Dimensions(user_id=user, session_id=session, agent_name="writer", task_name=TASK)
    model = api.model.ModelRef(provider_name="openai", model="gpt-4o")

    create_budget(api, f"daily-{run_id}", user)
    reservation_id = reserve(api, who, model)
    event = record(api, who, model, reservation_id)
    record_again(api, event)
    watch(api, session)
    for key, value in (("model", "gpt-4o"), ("task_name", TASK), ("user_id", user)):
        summarise(api, event, key, value)
    summarise_by_hour(api, event)
    print("everything adds up")


def create_budget(api, budget_id, user):
    """5 USD a day for each user, never to be overspent: that is what BLOCK at the whole limit means."""
    budget = api.budget.Budget(
        budget_id=budget_id,
        display_name="Each user's day",
        # Only this run's user, so that a server that is in use is left in peace.
        selector=[api.dimensions.DimensionMatch(key=api.dimensions.DimensionKey(name="user_id"), values=[user])],
        per=[api.dimensions.DimensionKey(name="user_id")],
        unit=api.budget.UNIT_USD,
        window=api.window.Window(kind=api.window.Window.KIND_DAY, time_zone="UTC"),
        limit="5",
        rules=[api.budget.Rule(at_fraction="1", action=api.budget.ACTION_BLOCK)],
    )
    request = api.budget_service.CreateBudgetRequest(budget=budget, request_id=uuid7())
    created = api.budget_calls.CreateBudget(request, timeout=SECONDS).budget
    print(f"budget       {created.budget_id}: {created.limit} USD a day for each user")


def reserve(api, who, model):
    """Asks before the call, and holds what it may cost at most."""
    request = api.check.CheckBudgetRequest(
        mode=api.check.CHECK_MODE_RESERVE,
        reservation_id=uuid7(),
        dimensions=who,
        model=model,
        estimate=api.check.Estimate(input_tokens=INPUT_TOKENS, max_output_tokens=16_384),
    )
    answer = api.budget_calls.CheckBudget(request, timeout=SECONDS)
    expect("the decision", answer.decision, api.check.DECISION_ALLOWED)
    expect("the reservation", answer.reservation.reservation_id, request.reservation_id)
    print(f"check        allowed, {answer.estimate.usd} USD held at most")
    return request.reservation_id


def record(api, who, model, reservation_id):
    """Records what the call used, and settles the reservation with it."""
    event = api.usage.UsageEvent(
        # Minted before the first send: a retry with the same id counts once.
        event_id=uuid7(),
        dimensions=who,
        operation_name="chat",
        request_model=model,
        tokens=api.usage.TokenUsage(
            total_input_tokens=INPUT_TOKENS,
            total_output_tokens=OUTPUT_TOKENS,
            quality=api.usage.USAGE_QUALITY_REPORTED,
        ),
        outcome=api.usage.CALL_OUTCOME_OK,
        reservation=api.usage.ReservationUse(reservation_id=reservation_id),
    )
    end = datetime.datetime.now(datetime.timezone.utc)
    event.start_time.FromDatetime(end - datetime.timedelta(seconds=2))
    event.end_time.FromDatetime(end)
    answer = send(api, event)
    expect("the result", answer.result, api.usage_service.RECORD_RESULT_RECORDED)
    expect("the cost in USD", answer.cost.usd, USD)
    print(f"record       {tokens(INPUT_TOKENS, OUTPUT_TOKENS)} on gpt-4o cost {answer.cost.usd} USD")
    return event


def record_again(api, event):
    """A retry, as after a lost answer. That it counted once is seen in every figure below."""
    answer = send(api, event)
    expect("the result of the retry", answer.result, api.usage_service.RECORD_RESULT_DUPLICATE)
    print("retry        recognised as a duplicate")


def send(api, event):
    return api.usage_calls.RecordUsage(api.usage_service.RecordUsageRequest(event=event), timeout=SECONDS)


def watch(api, session):
    """The first message of a stream is the whole state; what a UI shows next are messages of the same form."""
    scope = api.totals.WatchScope(key="session", session_id=session)
    stream = api.usage_calls.StreamUsage(api.totals.StreamUsageRequest(scopes=[scope]), timeout=SECONDS)
    first = next(stream)
    stream.cancel()
    expect("the first message being a snapshot", first.snapshot, True)
    totals = next(item.totals for item in first.scopes if item.key == "session")
    expect_totals("the session", totals)
    print(f"live totals  {tokens(totals.tokens.total_input_tokens, totals.tokens.total_output_tokens)}, {totals.usd} USD")


def summarise(api, event, key, value):
    """Groups the usage of the hour of the call by one dimension, for this run's user alone."""
    rows = summary_rows(api, event, group_by=[api.dimensions.DimensionKey(name=key)])
    expect(f"the groups by {key}", [row.groups[0].value for row in rows], [value])
    expect_totals(f"the summary by {key}", rows[0].measures.totals)
    print(f"summary      by {key}: {value} {rows[0].measures.totals.usd} USD")


def summarise_by_hour(api, event):
    rows = summary_rows(api, event, granularity=api.summary.GRANULARITY_HOUR)
    used = [row for row in rows if row.measures.totals.calls]
    expect("the number of hours with usage", len(used), 1)
    expect("the hour", used[0].bucket_start.ToDatetime(), hour_of(event))
    expect_totals("the summary by hour", used[0].measures.totals)
    print(f"summary      by hour: {hour_of(event):%Y-%m-%d %H:00} UTC {used[0].measures.totals.usd} USD")


def summary_rows(api, event, **grouping):
    user = api.dimensions.DimensionKey(name="user_id")
    only_user = api.dimensions.DimensionMatch(key=user, values=[event.dimensions.user_id])
    request = api.summary.GetSummaryRequest(time_zone="UTC", filter=[only_user], **grouping)
    request.start_time.FromDatetime(hour_of(event))
    request.end_time.FromDatetime(hour_of(event) + datetime.timedelta(hours=1))
    answer = api.usage_calls.GetSummary(request, timeout=SECONDS)
    expect_totals("the grand total", answer.total.totals)
    return answer.rows


def hour_of(event):
    return event.start_time.ToDatetime().replace(minute=0, second=0, microsecond=0)


def expect_totals(what, totals):
    expect(f"the calls of {what}", totals.calls, 1)
    expect(f"the input tokens of {what}", totals.tokens.total_input_tokens, INPUT_TOKENS)
    expect(f"the output tokens of {what}", totals.tokens.total_output_tokens, OUTPUT_TOKENS)
    expect(f"the USD of {what}", totals.usd, USD)


def expect(what, found, expected):
    if found != expected:
        raise Mismatch(f"{what} should be {expected!r}, found {found!r}")


def tokens(into, out):
    return f"{into:,} tokens in, {out:,} tokens out"


def uuid7():
    """A UUID that begins with the time, in milliseconds."""
    value = time.time_ns() // 1_000_000 << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


if __name__ == "__main__":
    main()
