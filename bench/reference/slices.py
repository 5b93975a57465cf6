"""An independent splitter: byte-exact record slices found with expat's byte offsets.

Prints one JSON line per record: offset, length, sha256; and one per deleted PMID.
"""
import gzip
import hashlib
import json
import sys
import xml.parsers.expat

RECORDS = {"PubmedArticle", "PubmedBookArticle"}


def read(path):
    data = open(path, "rb").read()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def slices(data):
    """Yields ("record" | "deletion", bytes) in document order."""
    parser = xml.parsers.expat.ParserCreate()
    path, start, found = [], [None], []

    def is_item():
        if path[-1] in RECORDS and len(path) <= 2:
            return "record"
        return "deletion" if path[-2:] == ["DeleteCitation", "PMID"] else None

    def open_(name, _):
        path.append(name)
        if start[0] is None and is_item():
            start[0] = parser.CurrentByteIndex

    def close(_):
        kind = is_item()
        if kind:
            # At a closing tag the index is that of '<'; of an empty element, that of the element.
            end = data.index(b">", parser.CurrentByteIndex) + 1
            found.append((kind, data[start[0] : end]))
            start[0] = None
        path.pop()

    parser.StartElementHandler, parser.EndElementHandler = open_, close
    parser.Parse(data, True)
    return found


if __name__ == "__main__":
    for path in sys.argv[1:]:
        for kind, slice_ in slices(read(path)):
            print(json.dumps([kind, len(slice_), hashlib.sha256(slice_).hexdigest()]))
