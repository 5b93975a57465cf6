"""A plain asynchronous sync in Python: httpx, lxml, hashlib, zstandard, psycopg.

    sync.py BASE_URL QUERY DIR DATABASE

Lists the query by halving entry dates, fetches 200 records a request with eight requests under way, and
stores each batch on disk before the transaction that points at it, as `bio-mcp sync` does, with the query's
members and a manifest part of the batch's outcomes. Run again, it skips what has the hash it has stored.
It does not list what it found in the database, so a killed run lists again.
"""
import asyncio
import ctypes
import datetime
import hashlib
import json
import os
import sys

import httpx
import psycopg
import zstandard
from lxml import etree

from ingest import TABLES, envelope, identify, now

CAP, PAGE, REQUEST, CONCURRENCY = 9_999, 9_999, 200, 8
MEMBERS = "create table if not exists members (query text, pmid text, primary key (query, pmid))"
base, query, root, database = sys.argv[1:]


async def search(client, start, end):
    """PMIDs of the query entered between two days."""
    answer = await client.post(base + "esearch.fcgi", data={
        "db": "pubmed", "term": query, "retmode": "json", "retmax": PAGE, "datetype": "edat",
        "mindate": start.strftime("%Y/%m/%d"), "maxdate": end.strftime("%Y/%m/%d")})
    answer.raise_for_status()
    result = answer.json()["esearchresult"]
    if int(result["count"]) <= CAP:
        return result["idlist"]
    middle = start + (end - start) / 2
    return await search(client, start, middle) + await search(client, middle + datetime.timedelta(days=1), end)


def records(body):
    for element in etree.fromstring(body):
        pmid, version = identify(element)
        xml = etree.tostring(element, encoding="unicode", with_tail=False)
        yield pmid, version, xml, hashlib.sha256(xml.encode()).hexdigest()


def put(path, content):
    with open(path + ".tmp", "wb") as file:
        file.write(content)
    os.rename(path + ".tmp", path)


def store(connection, compress, known, body, directory, part):
    rows, outcomes = [], []
    for pmid, version, xml, digest in records(body):
        uri = known.get(pmid, (None, None))[1]
        if known.get(pmid, (None, None))[0] == digest:
            outcomes.append({"pmid": pmid, "outcome": "skipped", "hash": digest, "uri": uri, "reason": "unchanged"})
            continue
        padded = f"{int(pmid):011d}"
        folder = os.path.join(root, "raw", f"pmid={padded[:3]}", padded[3:6], padded[6:9])
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, pmid + ".json.zst")
        fetched_at = now()
        put(path, compress(envelope(pmid, version, 0, xml, digest, fetched_at)))
        rows.append((pmid, "file://" + path, digest, fetched_at, version))
        outcomes.append({"pmid": pmid, "outcome": "archived", "hash": digest, "uri": "file://" + path, "reason": None})
    put(os.path.join(root, f"part-{part}.ndjson.zst"), compress("".join(json.dumps(line) + "\n" for line in outcomes).encode()))
    ctypes.CDLL(None).syncfs(directory)
    with connection.transaction(), connection.cursor() as cursor:
        if rows:
            cursor.executemany("insert into pointers (pmid, s3_uri, content_hash, fetched_at, record_version) values (%s, %s, %s, %s, %s) "
                               "on conflict (pmid) do update set s3_uri = excluded.s3_uri, content_hash = excluded.content_hash", rows)
            cursor.executemany("insert into history (pmid, content_hash, s3_uri, fetched_at) values (%s, %s, %s, %s) on conflict do nothing",
                               [(r[0], r[2], r[1], r[3]) for r in rows])
            cursor.executemany("insert into events (pmid, content_hash, s3_uri) values (%s, %s, %s)", [(r[0], r[2], r[1]) for r in rows])
        cursor.execute("insert into members select %s, unnest(%s::text[]) on conflict do nothing", (query, [o["pmid"] for o in outcomes]))


async def main():
    os.makedirs(root, exist_ok=True)
    directory = os.open(root, os.O_RDONLY)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(TABLES)
        connection.execute(MEMBERS)
        known = {r[0]: r[1:] for r in connection.execute("select pmid, content_hash, s3_uri from pointers")}
        compress = zstandard.ZstdCompressor(level=3).compress
        async with httpx.AsyncClient(timeout=60) as client:
            pmids = await search(client, datetime.date(1900, 1, 1), datetime.date(2100, 12, 31))
            chunks = [pmids[at:at + REQUEST] for at in range(0, len(pmids), REQUEST)]
            under_way = asyncio.Semaphore(CONCURRENCY)

            async def fetch(part, chunk):
                async with under_way:
                    answer = await client.post(base + "efetch.fcgi", data={"db": "pubmed", "retmode": "xml", "id": ",".join(chunk)})
                    answer.raise_for_status()
                    store(connection, compress, known, answer.content, directory, part)

            await asyncio.gather(*(fetch(*numbered) for numbered in enumerate(chunks)))
    print(len(pmids))


asyncio.run(main())
