"""Make sure that a clip can be heard before anybody is asked about it."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from tqdm import tqdm

from curation.label_studio import Server

AT_ONCE = 8  # requests
SAMPLED = 100  # of the addresses whose files are on this disk too
WAV_HEADER_BYTES = 44
LOCAL = {"127.0.0.1", "::1", "localhost"}


def unplayable(server: Server, addresses: Mapping[str, str], clips: Path | None) -> dict[str, str]:
    """Return why clips cannot be heard, by clip; those that can are not in it.

    A browser needs a range of a sound of known length. Where the server runs on this machine and serves files, the
    files are checked on the disk and a sample of the addresses by asking, which takes a tenth of the time; else every
    address is asked for. Addresses of a bucket (s3://, gs://) are opened by the server only for a person and are not
    checked.

    Args:
        server: for addresses without a host.
        addresses: of the sound, by clip.
        clips: the folder of the same files on this disk, None: it is elsewhere.
    """
    asked = {clip_id: address for clip_id, address in addresses.items() if urlsplit(address).scheme in _WEB}
    faults = {}
    if clips and urlsplit(server.url).hostname in LOCAL:
        here = {clip_id: clips / Path(address).name for clip_id, address in asked.items() if _is_served(address)}
        faults = {clip_id: why for clip_id, path in here.items() if (why := _fault_of_file(path))}
        sound = [clip_id for clip_id in here if clip_id not in faults]
        sample = set(sound[:: max(len(sound) // SAMPLED, 1)])
        asked = {clip_id: address for clip_id, address in asked.items() if clip_id not in here or clip_id in sample}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        whys = pool.map(lambda address: _fault(server, address), asked.values())
        bar = tqdm(zip(asked, whys, strict=True), "listen", total=len(asked), unit=" clips", delay=2)
        return faults | {clip_id: why for clip_id, why in bar if why}


_WEB = {"", "http", "https"}


def _is_served(address: str) -> bool:
    return address.startswith("/data/local-files/")


def _fault_of_file(path: Path) -> str:
    if not path.is_file():
        return f"{path} does not exist"
    return "" if path.stat().st_size > WAV_HEADER_BYTES else f"{path} holds no sound"


def _fault(server: Server, address: str) -> str:
    """Return why a browser could not play it, empty: it can."""
    try:
        reply = server.ask_audio(address)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"nobody answers ({type(error).__name__})"
    kind, length = reply.headers.get("content-type", ""), reply.headers.get("content-range", "").rpartition("/")[2]
    if reply.status_code != httpx.codes.PARTIAL_CONTENT:
        return f"the server answers with {reply.status_code} to a request for a range, not with 206"
    if not kind.startswith("audio/"):
        return f"it is {kind[:50]!r}, not audio"
    return "" if length.isdigit() and int(length) > WAV_HEADER_BYTES else f"its length is {length[:20]!r}"
