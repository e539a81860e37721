"""A provider of language models in a process of its own: it speaks the wire formats of all three, and fails on demand.

A test puts answers into the queue of a model; while that is empty, the model's standing answer is given. What
arrived is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
from sanic import Request, Sanic
from sanic.response import HTTPResponse, raw

# A key that no log, table or file may ever contain; each provider has its own.
KEYS = {name: f"sk-key-of-{name}-that-nobody-may-see" for name in ("openai", "anthropic", "google")}
STANDING: dict[str, Any] = {
    "text": "Hello there.",
    "input": 11,
    "cached": 0,
    "written": 0,
    "output": 7,
    "status": 200,
    "headers": {},
    # Seconds until the answer begins.
    "delay": 0.0,
    # Whether the answer says what was used, and, of a stream, why it ended.
    "usage": True,
    "reason": True,
    # Whether it ended because it had the most tokens that it may have.
    "is_cut_off": False,
    # After so many bytes of the body the connection breaks.
    "cut": None,
    # Instead of the whole body.
    "body": None,
}


@dataclass(frozen=True)
class FakeModels:
    """The running provider; it answers for every model."""

    url: str

    @property
    def settings(self) -> dict[str, Any]:
        """The portal's settings for it: keys and addresses of all three providers."""
        keys = {f"{name.upper()}_API_KEY": key for name, key in KEYS.items()}
        places = {"OPENAI": f"{self.url}/v1", "ANTHROPIC": self.url, "GOOGLE": self.url}
        return {**keys, **{f"{name}_BASE_URL": place for name, place in places.items()}}

    async def queue(self, model: str, *answers: dict[str, Any]) -> None:
        """The next answers of a model."""
        await self._post("queue", {"model": model, "answers": answers})

    async def standing(self, model: str, **answer: Any) -> None:
        """What a model answers whenever its queue is empty."""
        await self._post("standing", {"model": model, "answer": answer})

    async def arrived(self, model: str) -> list[dict[str, Any]]:
        """The requests for a model in their order."""
        answer = await asyncio.to_thread(httpx2.get, f"{self.url}/-/arrived", params={"model": model}, trust_env=False)
        found: list[dict[str, Any]] = answer.json()
        return found

    async def _post(self, what: str, body: dict[str, Any]) -> None:
        # Written with ASCII alone, so that an answer may be what UTF-8 cannot write.
        content = json.dumps(body).encode()
        answer = await asyncio.to_thread(httpx2.post, f"{self.url}/-/{what}", content=content, trust_env=False)
        answer.raise_for_status()


@contextlib.contextmanager
def fake_models() -> Iterator[FakeModels]:
    """Start the provider; it is gone when the block ends."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield FakeModels(process.stdout.readline().strip())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def application() -> Sanic[Any, Any]:
    """What the process serves."""
    app = Sanic("FakeModels", configure_logging=False)
    app.config.RESPONSE_TIMEOUT = app.config.KEEP_ALIVE_TIMEOUT = 600
    queues: defaultdict[str, deque[dict[str, Any]]] = defaultdict(deque)
    standing: dict[str, dict[str, Any]] = {}
    arrived: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)

    async def play(request: Request, wire: type[Wire], model: str, *, streams: bool) -> HTTPResponse | None:
        body = request.json
        arrived[model].append({"wire": wire.name, "streams": streams, "bytes": len(request.body), "body": body})
        queued = queues[model].popleft() if queues[model] else standing.get(model, {})
        answer = {**STANDING, **queued}
        await asyncio.sleep(answer["delay"])
        if answer["status"] != 200:
            return raw(json.dumps(wire.error(answer)), answer["status"], answer["headers"], "application/json")
        whole = wire.stream(answer, model) if streams else json.dumps(wire.plain(answer, model))
        content = (whole if answer["body"] is None else answer["body"]).encode()
        kind = "text/event-stream" if streams else "application/json"
        if answer["cut"] is None:
            return raw(content, 200, answer["headers"], kind)
        # The length is that of the whole body, and the connection ends before it.
        response = await request.respond(content_type=kind, headers={"content-length": str(len(content) + 100)})
        await response.send(content[: answer["cut"]])
        await asyncio.sleep(0.05)
        request.transport.abort()
        return None

    @app.post("/v1/chat/completions")
    async def openai(request: Request) -> HTTPResponse | None:
        body = request.json
        return await play(request, OpenAI, body["model"], streams=bool(body.get("stream")))

    @app.post("/v1/messages")
    async def anthropic(request: Request) -> HTTPResponse | None:
        body = request.json
        return await play(request, Anthropic, body["model"], streams=bool(body.get("stream")))

    @app.post("/v1beta/models/<called>")
    async def gemini(request: Request, called: str) -> HTTPResponse | None:
        model, _, method = called.replace("%3A", ":").partition(":")
        return await play(request, Gemini, model, streams=method == "streamGenerateContent")

    @app.post("/-/queue")
    async def queue(request: Request) -> HTTPResponse:
        queues[request.json["model"]].extend(request.json["answers"])
        return raw(b"")

    @app.post("/-/standing")
    async def stand(request: Request) -> HTTPResponse:
        standing[request.json["model"]] = request.json["answer"]
        return raw(b"")

    @app.get("/-/arrived")
    async def tell(request: Request) -> HTTPResponse:
        return raw(json.dumps(arrived[request.args.get("model")]), content_type="application/json")

    return app


class Wire(ABC):
    """How one provider writes its answers."""

    name: str

    @staticmethod
    def error(answer: dict[str, Any]) -> dict[str, Any]:
        """A refusal, with the key in its text, as some providers do."""
        keys = " ".join(KEYS.values())
        return {"error": {"message": f"refused as asked for, {keys}", "type": "fake_error", "code": "fake"}}

    @staticmethod
    @abstractmethod
    def plain(answer: dict[str, Any], model: str) -> dict[str, Any]:
        """The whole answer at once."""

    @staticmethod
    @abstractmethod
    def stream(answer: dict[str, Any], model: str) -> str:
        """The answer as server-sent events."""


def _events(*events: dict[str, Any], named: bool = False) -> str:
    return "".join(
        (f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n" for event in events
    )


class OpenAI(Wire):
    name = "openai"

    @staticmethod
    def _reason(answer: dict[str, Any]) -> str:
        return "length" if answer["is_cut_off"] else "stop"

    @staticmethod
    def _usage(answer: dict[str, Any]) -> dict[str, Any]:
        return {
            "prompt_tokens": answer["input"],
            "completion_tokens": answer["output"],
            "total_tokens": answer["input"] + answer["output"],
            "prompt_tokens_details": {"cached_tokens": answer["cached"]},
        }

    @staticmethod
    def plain(answer: dict[str, Any], model: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": answer["text"]}
        usage = {"usage": OpenAI._usage(answer)} if answer["usage"] else {}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": OpenAI._reason(answer)}],
            **usage,
        }

    @staticmethod
    def stream(answer: dict[str, Any], model: str) -> str:
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}

        def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
            return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

        events = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": word}) for word in _words(answer))]
        if answer["reason"]:
            events.append(chunk({}, OpenAI._reason(answer)))
        if answer["usage"]:
            events.append({**head, "choices": [], "usage": OpenAI._usage(answer)})
        return _events(*events) + "data: [DONE]\n\n"


class Anthropic(Wire):
    name = "anthropic"

    @staticmethod
    def _reason(answer: dict[str, Any]) -> str:
        return "max_tokens" if answer["is_cut_off"] else "end_turn"

    @staticmethod
    def error(answer: dict[str, Any]) -> dict[str, Any]:
        return {"type": "error", **Wire.error(answer)}

    @staticmethod
    def _usage(answer: dict[str, Any]) -> dict[str, Any]:
        return {
            "input_tokens": answer["input"] - answer["cached"] - answer["written"],
            "cache_read_input_tokens": answer["cached"],
            "cache_creation_input_tokens": answer["written"],
            "output_tokens": answer["output"],
        }

    @staticmethod
    def plain(answer: dict[str, Any], model: str) -> dict[str, Any]:
        usage = {"usage": Anthropic._usage(answer)} if answer["usage"] else {}
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": answer["text"]}],
            "stop_reason": Anthropic._reason(answer),
            "stop_sequence": None,
            **usage,
        }

    @staticmethod
    def stream(answer: dict[str, Any], model: str) -> str:
        usage = {"usage": {**Anthropic._usage(answer), "output_tokens": 1}} if answer["usage"] else {}
        message = {**Anthropic.plain({**answer, "usage": False}, model), "content": [], "stop_reason": None, **usage}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
                for word in _words(answer)
            ),
            {"type": "content_block_stop", "index": 0},
        ]
        if answer["reason"]:
            last = {"usage": {"output_tokens": answer["output"]}} if answer["usage"] else {}
            delta = {"stop_reason": Anthropic._reason(answer), "stop_sequence": None}
            events += [{"type": "message_delta", "delta": delta, **last}, {"type": "message_stop"}]
        return _events(*events, named=True)


class Gemini(Wire):
    name = "gemini"

    @staticmethod
    def error(answer: dict[str, Any]) -> dict[str, Any]:
        message = Wire.error(answer)["error"]["message"]
        return {"error": {"code": answer["status"], "message": message, "status": "FAKE"}}

    @staticmethod
    def _chunk(answer: dict[str, Any], model: str, text: str, *, is_last: bool) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
        if is_last and answer["reason"]:
            candidate["finishReason"] = "MAX_TOKENS" if answer["is_cut_off"] else "STOP"
        chunk: dict[str, Any] = {"candidates": [candidate], "modelVersion": model, "responseId": "r-1"}
        if answer["usage"]:
            chunk["usageMetadata"] = {
                "promptTokenCount": answer["input"],
                "cachedContentTokenCount": answer["cached"],
                "candidatesTokenCount": answer["output"] if is_last else 1,
                "totalTokenCount": answer["input"] + answer["output"],
            }
        return chunk

    @staticmethod
    def plain(answer: dict[str, Any], model: str) -> dict[str, Any]:
        return Gemini._chunk(answer, model, answer["text"], is_last=True)

    @staticmethod
    def stream(answer: dict[str, Any], model: str) -> str:
        *words, last = _words(answer)
        chunks = [Gemini._chunk(answer, model, word, is_last=False) for word in words]
        return _events(*chunks, Gemini._chunk(answer, model, last, is_last=True))


def _words(answer: dict[str, Any]) -> list[str]:
    return [f"{word} " for word in answer["text"].split()]


async def _serve() -> None:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    app = application()
    server = await app.create_server(
        sock=listening, return_asyncio_server=True, access_log=False, asyncio_server_kwargs={"start_serving": False}
    )
    assert server is not None
    await server.startup()
    await server.start_serving()
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)  # noqa: T201 - read by whoever started it
    await asyncio.Event().wait()


if __name__ == "__main__":
    # A connection that breaks on demand is no news.
    logging.disable()
    asyncio.run(_serve())
