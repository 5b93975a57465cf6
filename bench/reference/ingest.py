"""A straightforward ingest in Python: lxml iterparse, hashlib, zstandard, psycopg.

    ingest.py pipeline FILE              split + hash + envelope + zstd level 3, output discarded
    ingest.py ingest FILE DIR DATABASE   the same to disk and Postgres, in batches of 1,000, each batch
                                         on stable storage before the transaction that points at it
"""
import ctypes
import datetime
import hashlib
import json
import os
import sys

import psycopg
import zstandard
from lxml import etree

from typed import records

BATCH = 1000

TABLES = """
create table if not exists pointers (pmid text primary key, s3_uri text not null, content_hash text not null,
    fetched_at timestamptz not null, record_version int, position bigint, updated_at timestamptz default now());
create table if not exists history (pmid text, content_hash text, s3_uri text, fetched_at timestamptz,
    primary key (pmid, content_hash));
create table if not exists events (seq bigint generated always as identity primary key, pmid text,
    content_hash text, s3_uri text, accepted_at timestamptz default now());
"""


def identify(element):
    pmid = element.find("./*/PMID")
    return pmid.text, int(pmid.get("Version", "1"))


def envelope(pmid, version, position, xml, digest, fetched_at):
    return json.dumps({
        "pmid": pmid, "fetched_at": fetched_at,
        "source": {"api": "bulk_file", "endpoint": "bench.xml.gz", "params": {"version": version, "position": position}},
        "http": {"status": 0, "etag": None}, "payload": {"format": "pubmed-xml", "xml": xml},
        "hash": {"algo": "sha256", "value": digest}, "version": 1,
    }, ensure_ascii=False).encode()


def prepared(path):
    """pmid, version, position, xml, digest of each record."""
    for position, element in enumerate(records(path), 1):
        pmid, version = identify(element)
        xml = etree.tostring(element, encoding="unicode", with_tail=False)
        yield pmid, version, position, xml, hashlib.sha256(xml.encode()).hexdigest()


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat()


def pipeline(path):
    compress, stored = zstandard.ZstdCompressor(level=3).compress, 0
    for pmid, version, position, xml, digest in prepared(path):
        stored += len(compress(envelope(pmid, version, position, xml, digest, now())))
    print(stored, "bytes stored")


def key(pmid):
    padded = pmid.zfill(11)
    return f"raw/pmid={padded[:3]}/{padded[3:6]}/{padded[6:9]}/{pmid}.json.zst"


def ingest(path, directory, database):
    compress = zstandard.ZstdCompressor(level=3).compress
    libc, made = ctypes.CDLL(None), set()
    os.makedirs(directory, exist_ok=True)
    root = os.open(directory, os.O_RDONLY)
    counts = {"archived": 0, "skipped": 0}
    with psycopg.connect(database, autocommit=True) as db:
        db.execute(TABLES)

        def store(batch):
            known = dict(db.execute("select pmid, content_hash from pointers where pmid = any(%s)", [[r[0] for r in batch]]))
            changed = [r for r in batch if known.get(r[0]) != r[4]]
            counts["skipped"] += len(batch) - len(changed)
            counts["archived"] += len(changed)
            if not changed:
                return
            rows, fetched_at = [], now()
            for pmid, version, position, xml, digest in changed:
                target = os.path.join(directory, key(pmid))
                folder = os.path.dirname(target)
                if folder not in made:
                    os.makedirs(folder, exist_ok=True)
                    made.add(folder)
                with open(target + ".tmp", "wb") as f:
                    f.write(compress(envelope(pmid, version, position, xml, digest, fetched_at)))
                os.rename(target + ".tmp", target)
                rows.append((pmid, "file://" + target, digest, fetched_at, version, position))
            if libc.syncfs(root) != 0:
                raise OSError("syncfs")
            with db.transaction(), db.cursor() as cursor:
                cursor.executemany(
                    "insert into pointers (pmid, s3_uri, content_hash, fetched_at, record_version, position) values (%s, %s, %s, %s, %s, %s) "
                    "on conflict (pmid) do update set s3_uri = excluded.s3_uri, content_hash = excluded.content_hash, "
                    "fetched_at = excluded.fetched_at, record_version = excluded.record_version, position = excluded.position, updated_at = now()",
                    rows,
                )
                past = [(r[0], r[2], r[1], r[3]) for r in rows]
                cursor.executemany("insert into history values (%s, %s, %s, %s) on conflict do nothing", past)
                cursor.executemany("insert into events (pmid, content_hash, s3_uri) values (%s, %s, %s)", [p[:3] for p in past])

        batch = []
        for record in prepared(path):
            batch.append(record)
            if len(batch) == BATCH:
                store(batch)
                batch = []
        if batch:
            store(batch)
    print(counts)


if __name__ == "__main__":
    {"pipeline": pipeline, "ingest": ingest}[sys.argv[1]](*sys.argv[2:])
