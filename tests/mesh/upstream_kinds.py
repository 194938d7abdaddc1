"""What the test upstream answers to requests that are no chat; for upstream.py."""
import base64
import struct


def vectors(body, options):
    """The answer to an embedding, the last vector first."""
    inputs = body["input"]
    inputs = [inputs] if isinstance(inputs, str) or isinstance(inputs[0], int) else inputs
    data, prompt = [], sum(len(one) for one in inputs)
    for i, one in enumerate(inputs):
        numbers = [len(one), len(one.split() if isinstance(one, str) else one), i] + [1] * (body.get("dimensions", 4) - 3)
        if body.get("encoding_format") == "base64" and "floats" not in options:
            numbers = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
        data.insert(0, {"object": "embedding", "index": i, "embedding": numbers})
    return {"object": "list", "data": data, "usage": {"prompt_tokens": prompt, "total_tokens": prompt}}


def prompt_text(prompt):
    """The last prompt of a completion as a text."""
    if isinstance(prompt, str):
        return prompt
    return " ".join(map(str, prompt)) if isinstance(prompt[0], int) else prompt_text(prompt[-1])


def as_completion(answer):
    """The same answer, or piece of one, as completions have it."""
    if "choices" not in answer:
        return answer
    choices = [{"index": c["index"], "text": (c.get("delta") or c.get("message") or {}).get("content") or "", "logprobs": None,
                "finish_reason": c.get("finish_reason")} for c in answer["choices"]]
    return {**answer, "id": "cmpl-test", "object": "text_completion", "choices": choices}
