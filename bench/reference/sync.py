"""A plain asynchronous sync in Python: httpx, lxml, hashlib, zstandard, psycopg.

    sync.py BASE_URL QUERY DIR DATABASE

Lists the query by halving entry dates, fetches 200 records a request with eight requests under way, and
stores each batch on disk before the transaction that points at it: the same work and durability as
`bio-mcp sync`. Run again, it skips what has the hash it has stored.
"""
import asyncio
import ctypes
import datetime
import hashlib
import os
import sys

import httpx
import psycopg
import zstandard
from lxml import etree

from ingest import TABLES, envelope, identify, now

CAP, PAGE, REQUEST, CONCURRENCY = 9_999, 9_999, 200, 8
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


def store(connection, compress, known, body, directory):
    fresh = [record for record in records(body) if known.get(record[0]) != record[3]]
    rows = []
    for pmid, version, xml, digest in fresh:
        padded = f"{int(pmid):011d}"
        folder = os.path.join(root, "raw", f"pmid={padded[:3]}", padded[3:6], padded[6:9])
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, pmid + ".json.zst")
        fetched_at = now()
        with open(path + ".tmp", "wb") as file:
            file.write(compress(envelope(pmid, version, 0, xml, digest, fetched_at)))
        os.rename(path + ".tmp", path)
        rows.append((pmid, "file://" + path, digest, fetched_at, version))
    if not rows:
        return
    ctypes.CDLL(None).syncfs(directory)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany("insert into pointers (pmid, s3_uri, content_hash, fetched_at, record_version) values (%s, %s, %s, %s, %s) "
                           "on conflict (pmid) do update set s3_uri = excluded.s3_uri, content_hash = excluded.content_hash", rows)
        cursor.executemany("insert into history (pmid, content_hash, s3_uri, fetched_at) values (%s, %s, %s, %s) on conflict do nothing",
                           [(r[0], r[2], r[1], r[3]) for r in rows])
        cursor.executemany("insert into events (pmid, content_hash, s3_uri) values (%s, %s, %s)", [(r[0], r[2], r[1]) for r in rows])


async def main():
    os.makedirs(root, exist_ok=True)
    directory = os.open(root, os.O_RDONLY)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(TABLES)
        known = dict(connection.execute("select pmid, content_hash from pointers").fetchall())
        compress = zstandard.ZstdCompressor(level=3).compress
        async with httpx.AsyncClient(timeout=60) as client:
            pmids = await search(client, datetime.date(1900, 1, 1), datetime.date(2100, 12, 31))
            chunks = [pmids[at:at + REQUEST] for at in range(0, len(pmids), REQUEST)]
            under_way = asyncio.Semaphore(CONCURRENCY)

            async def fetch(chunk):
                async with under_way:
                    answer = await client.post(base + "efetch.fcgi", data={"db": "pubmed", "retmode": "xml", "id": ",".join(chunk)})
                    answer.raise_for_status()
                    store(connection, compress, known, answer.content, directory)

            await asyncio.gather(*map(fetch, chunks))
    print(len(pmids))


asyncio.run(main())
