"""The typed record built with lxml: what the program's parser is compared with, value by value.

    typed.py FILE...    one JSON object a line, keys sorted
"""
import datetime
import gzip
import json
import re
import string
import sys
import unicodedata

from lxml import etree

MONTHS = "january february march april may june july august september october november december".split()
SEASONS = "spring summer fall autumn winter".split()
NOTICES = {
    "RetractionIn": "retracted", "RetractedandRepublishedIn": "retracted", "RetractionOf": "retraction_notice",
    "ExpressionOfConcernIn": "concern", "ExpressionOfConcernFor": "concern", "ErratumIn": "corrected",
    "CorrectedandRepublishedIn": "corrected",
}
TYPES = [
    ("D016441", "Retracted Publication", "retracted"), ("D016440", "Retraction of Publication", "retraction_notice"),
    ("D016440", "Retraction Notice", "retraction_notice"), ("D000075742", "Expression of Concern", "concern"),
]
BLANK = "\u200b\u2060\ufeff"

# The parts of the current record that were read: (element, "text" or "tail") and (element, attribute).
READ = set()


def blank(value):
    return all(c.isspace() or c in BLANK for c in value)


def written(element):
    """The name as written, with its prefix."""
    name = etree.QName(element).localname
    return f"{element.prefix}:{name}" if element.prefix else name


def scripts(kind, raised):
    """Superscripts or subscripts as Unicode decomposes them."""
    found = {}
    for code in range(0x2FFFF):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and parts[0] == kind and chr(code) not in "\xaa\xba\ua7f2\ua7f3\ua7f4\U000107a5":
            found.setdefault(chr(int(parts[1], 16)), chr(code))
    letters = string.digits + string.ascii_letters + "+\u2212=()" + "\u03b2\u03b3\u03b4\u03b8\u03c1\u03c6\u03c7"
    found = {k: v for k, v in found.items() if k in letters}
    found.update({hyphen: found["\u2212"] for hyphen in "-\u2010\u2011\u2013"})
    found.update({v: v for v in list(found.values())})
    return {**found, **{c: c for c in raised}}


SUPER = scripts("<super>", "\xae\u2122\xa9\xb0\u2032\u2033*\u2020\u2021\xa7\xb6")
SUB = scripts("<sub>", "")


def script(inner, sign):
    table = SUPER if sign == "^" else SUB
    core = inner.strip()
    before = inner[: len(inner) - len(inner.lstrip())]
    after = inner[len(before) + len(core) :]
    if all(c in table for c in core):
        core = "".join(table[c] for c in core)
    else:
        core = sign + (core if len(core) == 1 else f"({core})")
    return before + core + after


def grouped(value):
    return value if all(c.isalnum() for c in value) else f"({value})"


def over(name, value):
    core = value.strip()
    return core if name.endswith("over") and len(core) == 1 and not core.isalnum() else script(value, "^")


def one(element):
    name, parts = etree.QName(element).localname, [one(c) for c in element]
    n = len(parts)
    if name in ("sup", "sub"):
        return script(inside(element), "^" if name == "sup" else "_")
    if name in ("msup", "mover") and n == 2:
        return parts[0] + over(name, parts[1])
    if name in ("msub", "munder") and n == 2:
        return parts[0] + script(parts[1], "_")
    if name in ("msubsup", "munderover") and n == 3:
        return parts[0] + script(parts[1], "_") + over(name, parts[2])
    if name == "mfrac" and n == 2:
        return grouped(parts[0]) + "/" + grouped(parts[1])
    if name == "msqrt" and n:
        return "\u221a" + grouped("".join(parts))
    if name == "mroot" and n == 2:
        return script(parts[1], "^") + "\u221a" + grouped(parts[0])
    if name == "mfenced" and n:
        signs = "".join(element.get("separators", ",").split())
        joined = parts[0]
        for at, part in enumerate(parts[1:]):
            joined += (signs[min(at, len(signs) - 1)] if signs else "") + part
        return element.get("open", "(") + joined + element.get("close", ")")
    if name == "mtr" and n:
        return ", ".join(parts)
    if name == "mtable" and n:
        return "; ".join(parts)
    if name == "mspace" and not n:
        return " "
    return inside(element)


def inside(element):
    return (element.text or "") + "".join(one(c) + (c.tail or "") for c in element)


def raw(element):
    return "" if element is None else "".join(element.itertext())


def read_texts(element):
    READ.add((element, "text"))
    for c in element.iterdescendants():
        READ.update([(c, "text"), (c, "tail")])


def text(element):
    if element is None or blank(raw(element)):
        return None
    read_texts(element)
    return inside(element)


def child(element, path):
    """The first child that has text; without one, the first."""
    for name in path.split("/"):
        found = [] if element is None else element.findall(name)
        element = next((e for e in found if not blank(raw(e))), found[0] if found else None)
    return element


def all_(element, path):
    return [] if element is None else element.findall(path)


def child_text(element, path):
    *parents, name = path.split("/")
    for parent in parents:
        element = child(element, parent)
    return next((text(e) for e in all_(element, name) if not blank(raw(e))), None)


def raw_child_text(element, name):
    for e in all_(element, name):
        if not blank(raw(e)):
            read_texts(e)
            return raw(e)
    return None


def texts(element, path):
    return [t for t in map(text, all_(element, path)) if t is not None]


def get(element, name):
    value = None if element is None else element.get(name)
    if value is None or blank(value):
        return None
    READ.add((element, name))
    return value


def yes_no(element, name):
    value = (element.get(name) or "").strip()
    if value not in ("Y", "N"):
        return None
    READ.add((element, name))
    return value == "Y"


def yes(element, name):
    return yes_no(element, name) is True


def integer(element, name):
    value = "" if element is None else (element.get(name) or "").strip()
    if not re.fullmatch(r"[+-]?[0-9]+", value):
        return None
    READ.add((element, name))
    return int(value)


def complete(parent, name):
    found = [c for c in (yes_no(l, "CompleteYN") for l in all_(parent, name)) if c is not None]
    return all(found) if found else None


def number(value, digits):
    return int(value) if re.fullmatch("[0-9]{1,%d}" % digits, value) else None


def month_of(word):
    word = word.strip().rstrip(".").lower()
    return next((n for n, m in enumerate(MONTHS, 1) if len(word) >= 3 and m.startswith(word)), None)


def words(value):
    return list(re.finditer(r"[0-9]+|[^\W\d_]+", value))


def season_of(value):
    return next((w.group() for w in words(value) if w.group().lower() in SEASONS), None)


def first_month(value):
    return next((m for m in (month_of(w.group()) for w in words(value)) if m), None)


def ymd(year, month, day):
    """What of a date exists."""
    month = month if year is not None and month is not None and 1 <= month <= 12 else None
    try:
        datetime.date(year, month, day)
    except (TypeError, ValueError):
        day = None
    return year, month, day


def iso_of(year, month, day):
    if year is None:
        return None
    return f"{year:04}" + "".join(f"-{p:02}" for p in (month, day) if p is not None)


def free(value):
    """The start of a free text: year, month, day and season."""
    found = words(value)
    years = [n for n, w in enumerate(found) if re.fullmatch("1[5-9][0-9]{2}|20[0-9]{2}", w.group())]
    if not years:
        return (None, None, None), season_of(value)
    first, second = years[0], (years[1:] or [len(found)])[0]
    if first + 1 < len(found):
        after = found[first + 1]
        if len(after.group()) == 2 and after.group().isdigit() and value[after.start() - 1] in "-/\u2013":
            second = first + 1
    at = next((n for n, w in enumerate(found) if month_of(w.group())), len(found))
    if at >= second:
        return ymd(int(found[first].group()), None, None), season_of(value)
    day = None
    if at + 1 < len(found):
        after = found[at + 1]
        glued = value[after.end() : after.end() + 1].isalpha()
        if number(after.group(), 2) is not None and value[after.start() - 1] not in "-/\u2013" and not glued:
            day = int(after.group())
    return ymd(int(found[first].group()), month_of(found[at].group()), day), season_of(value)


class Written:
    """Year, Month and Day children as read and as written."""

    def __init__(self, element):
        self.texts, self.all, self.season = [], True, None
        year = month = day = None
        value = self.part(element, "Year")
        if value is not None:
            year = int(value) if re.fullmatch("[1-9][0-9]{3}", value) else None
            if year is None:
                self.all, year = False, free(value)[0][0]
        value = self.part(element, "Month")
        if value is not None:
            self.season = season_of(value)
            month = number(value, 2)
            month = month_of(value) if month is None else month
            self.all &= month is not None or self.season == value
            month = first_month(value) if month is None else month
        value = self.part(element, "Day")
        if value is not None:
            day = number(re.split("[-/\u2013]", value)[0].strip(), 2)
            self.all &= number(value, 2) is not None
        self.ymd = ymd(year, month, day)
        self.all &= self.ymd[1:] == (month, day)

    def part(self, element, name):
        value = raw_child_text(element, name)
        if value is None:
            return None
        self.texts.append(value.strip())
        return value.strip()

    def rest(self):
        return None if self.all else " ".join(self.texts)


def iso(parent, name, field, date_text):
    element = child(parent, name)
    if element is None:
        return None
    written = Written(element)
    if written.rest() is not None:
        date_text[field] = written.rest()
    return iso_of(*written.ymd)


def pub_date(element):
    if element is None:
        return {"date": None, "precision": "none", "medline_date": None, "season": None, "date_text": None}
    written = Written(element)
    date, season = written.ymd, written.season
    named = raw_child_text(element, "Season")
    if named is not None:
        if date[1] is None and first_month(named):
            date, written.all = ymd(date[0], first_month(named), None), False
        season = named
        written.texts.append(named.strip())
    medline = child_text(element, "MedlineDate")
    if date[0] is None and medline is not None:
        date, other = free(raw_child_text(element, "MedlineDate"))
        season = other if season is None else season
    if date[2] is not None:
        precision = "day"
    elif date[1] is not None:
        precision = "month"
    elif date[0] is not None:
        precision = "year" if season is None else "season"
    else:
        precision = "none"
    return {
        "date": iso_of(*date), "precision": precision, "medline_date": medline, "season": season,
        "date_text": written.rest(),
    }


def article_dates(parent):
    found = []
    for element in all_(parent, "ArticleDate"):
        if not blank(raw(element)):
            written = Written(element)
            found.append({"date": iso_of(*written.ymd), "type": get(element, "DateType"), "date_text": written.rest()})
    return found


def stamp(element):
    written = Written(element)
    clock = [raw_child_text(element, name) for name in ("Hour", "Minute", "Second")]
    clock = [None if c is None else c.strip() for c in clock]
    at = iso_of(*written.ymd)
    numbers = [None if c is None else number(c, 2) for c in clock]
    fits = written.ymd[2] is not None and numbers[0] is not None and numbers[0] < 24
    fits = fits and (numbers[1] is not None and numbers[1] < 60 if clock[1] is not None else clock[2] is None)
    if fits:
        at += f"T{numbers[0]:02}:{numbers[1] or 0:02}"
        if clock[2] is not None and numbers[2] is not None and numbers[2] < 60:
            at += f":{numbers[2]:02}"
        elif clock[2] is not None:
            written.all = False
    elif any(c is not None for c in clock):
        written.all = False
    if any(c is not None for c in clock):
        written.texts.append(":".join(c for c in clock if c is not None))
    return {"status": get(element, "PubStatus"), "at": at, "date_text": written.rest()}


def history(data):
    stamps = [stamp(h) for h in all_(data, "History/PubMedPubDate")]
    return [s for s in stamps if any(v is not None for v in s.values())]


def identifiers(element):
    found = [(i, text(i)) for i in all_(element, "Identifier")]
    return [{"value": t, "source": get(i, "Source")} for i, t in found if t is not None]


def orcid(value):
    for start in re.finditer("(?<![0-9])[0-9]", value):
        rest = re.sub("[\\s\\-\u2010-\u2015\u2212]", "", value[start.start() :])
        found = re.match("([0-9]{15})([0-9Xx])(?![0-9])", rest)
        if found:
            digits = found.group(1) + found.group(2).upper()
            return "-".join(digits[n : n + 4] for n in range(0, 16, 4))
    return None


def person(element, group, role):
    ids = [raw(i) for i in all_(element, "Identifier") if (i.get("Source") or "").strip().upper() == "ORCID"]
    infos = all_(element, "AffiliationInfo")
    return {
        "last_name": child_text(element, "LastName"), "fore_name": child_text(element, "ForeName"),
        "initials": child_text(element, "Initials"), "suffix": child_text(element, "Suffix"),
        "collective_name": child_text(element, "CollectiveName"),
        "orcid": next((o for o in map(orcid, ids) if o), None), "identifiers": identifiers(element),
        "affiliations": [t for i in infos for t in texts(i, "Affiliation")] + texts(element, "Affiliation"),
        "affiliation_identifiers": [i for info in infos for i in identifiers(info)],
        "equal_contrib": yes(element, "EqualContrib"), "valid": yes_no(element, "ValidYN") is not False,
        "group": group, "role": role,
    }


def full(parent, path):
    return [e for e in all_(parent, path) if not blank(raw(e))]


def authors(parent):
    return [
        person(a, get(child(a, "CollectiveName"), "Investigators"), get(l, "Type"))
        for l in all_(parent, "AuthorList") for a in full(l, "Author")
    ]


def investigators(parent):
    return [person(i, get(l, "ID"), None) for l in all_(parent, "InvestigatorList") for i in full(l, "Investigator")]


def sections(parents):
    return [
        {"label": get(s, "Label"), "category": get(s, "NlmCategory"), "text": text(s)}
        for parent in parents for s in full(parent, "AbstractText")
    ]


def copyright_of(parents):
    return next((c for c in (child_text(p, "CopyrightInformation") for p in parents) if c is not None), None)


def ids(lists):
    found, rest = {}, []
    for i in (i for l in lists for i in full(l, "ArticleId")):
        kind = get(i, "IdType") or "pubmed"
        if kind in found:
            rest.append({"type": kind, "value": text(i)})
        else:
            found[kind] = text(i)
    return found, rest


def first_ids(lists):
    found = {}
    for i in (i for l in lists for i in full(l, "ArticleId")):
        kind = i.get("IdType") or ""
        kind = "pubmed" if blank(kind) else kind
        if kind not in found:
            found[kind] = text(i)
            get(i, "IdType")
    return found


def own_ids(lists, elocations):
    found, rest = ids(lists)
    for e in elocations:
        if e["valid"] and e["type"] is not None:
            found.setdefault(e["type"], e["value"])
    for always in ("doi", "pmc", "pii"):
        found.setdefault(always, None)
    return found, rest


def references(parent):
    found = []

    def read(l):
        for c in l:
            if c.tag == "Reference":
                by_type = first_ids(all_(c, "ArticleIdList"))
                citation = child_text(c, "Citation")
                if citation is not None or by_type:
                    title = child_text(l, "Title")
                    found.append({"citation": citation, "ids": by_type, "section": title})
            elif c.tag == "ReferenceList":
                read(c)

    for l in all_(parent, "ReferenceList"):
        read(l)
    return found


def elocations(parent):
    return [
        {"type": get(e, "EIdType"), "value": text(e), "valid": yes_no(e, "ValidYN") is not False}
        for e in full(parent, "ELocationID")
    ]


def pages(parent):
    p = child(parent, "Pagination")
    return {"start": child_text(p, "StartPage"), "end": child_text(p, "EndPage"), "medline": child_text(p, "MedlinePgn")}


def pagination(p):
    return p["medline"] or "-".join(v for v in (p["start"], p["end"]) if v is not None) or None


def pub_types(parents):
    return [{"ui": get(p, "UI"), "name": text(p)} for parent in parents for p in full(parent, "PublicationType")]


def keywords(parent):
    return [
        {"owner": get(l, "Owner"), "text": text(k), "major": yes(k, "MajorTopicYN")}
        for l in all_(parent, "KeywordList") for k in full(l, "Keyword")
    ]


def grants(parent):
    return [
        {k: child_text(g, n) for k, n in (("id", "GrantID"), ("acronym", "Acronym"), ("agency", "Agency"), ("country", "Country"))}
        for g in full(parent, "GrantList/Grant")
    ]


def objects(data):
    return [
        {"type": get(o, "Type"), "params": [[get(p, "Name"), text(p)] for p in full(o, "Param")]}
        for o in full(data, "ObjectList/Object")
    ]


def says_retracted(title):
    bracket = r"\s*[\[(]" if re.match(r"\s*[\[(]", title) else None
    end = "[:\uff1a\\])]" if bracket else "[:\uff1a]"
    start = "[\\s\\[(\"\u201c]*"
    if not any(sign in title for sign in ("etract", "ETRACT", "ithdraw", "ITHDRAW")):
        return False
    return re.match(start + r"(RETRACTED|WITHDRAWN)(\s+(ARTICLE|PAPER|CHAPTER))?\s*" + end, title, re.I) is not None


def integrity(type_elements, comments, title, data):
    evidence = []
    for element in type_elements:
        for ui, name, status in TYPES:
            if (element.get("UI") or "").strip() == ui or raw(element).strip() == name:
                value = ui if blank(raw(element)) else text(element)
                evidence.append({"status": status, "source": "pub_type", "value": value})
                break
    notices = [c for c in comments if (c["ref_type"] or "").strip() in NOTICES]
    for c in notices:
        kind = c["ref_type"].strip()
        evidence.append({"status": NOTICES[kind], "source": "comment", "value": kind})
    is_notice = any(e["status"] == "retraction_notice" for e in evidence)
    if title is not None and says_retracted(raw(title)) and not is_notice:
        evidence.append({"status": "retracted", "source": "title", "value": text(title)})
    for path, source in (("History/PubMedPubDate", "history"), ("PublicationStatus", "publication_status")):
        values = [e.get("PubStatus") if source == "history" else raw(e) for e in all_(data, path)]
        if any((v or "").strip() in ("retracted", "Retracted", "RETRACTED") for v in values):
            evidence.append({"status": "retracted", "source": source, "value": "retracted"})
    order = ("retracted", "retraction_notice", "concern", "corrected")
    status = next((s for s in order if any(e["status"] == s for e in evidence)), "ok")
    return {"status": status, "notices": notices, "evidence": evidence}


def own_pmid(parent):
    element = child(parent, "PMID")
    version = integer(element, "Version")
    return text(element).strip(), 1 if version is None else version


def own_title(*candidates):
    return next((e for parent, name in candidates for e in full(parent, name)), None)


def comment(c):
    pmid = child(c, "PMID")
    return {
        "ref_type": get(c, "RefType"), "pmid": text(pmid), "version": integer(pmid, "Version"),
        "source": child_text(c, "RefSource"), "note": child_text(c, "Note"),
    }


def unmapped(root):
    """What was not read, by path."""
    found = []

    def path(element):
        parent = element.getparent()
        if element is root:
            return "/" + written(element)
        same = [e for e in parent if written(e) == written(element)]
        return path(parent) + "/" + written(element) + (f"[{same.index(element) + 1}]" if len(same) > 1 else "")

    def walk(element):
        if ":" not in written(element):
            for name, value in element.attrib.items():
                if (element, name) not in READ and not blank(value):
                    found.append({"path": f"{path(element)}/@{name}", "value": value})
        if element.text and not blank(element.text) and (element, "text") not in READ:
            found.append({"path": path(element), "value": element.text})
        for c in element:
            walk(c)
            if c.tail and not blank(c.tail) and (c, "tail") not in READ:
                found.append({"path": path(element), "value": c.tail})

    walk(root)
    return found


def count(citation):
    for e in all_(citation, "NumberOfReferences"):
        if re.fullmatch(r"[+-]?[0-9]+", raw(e).strip()):
            return int(text(e).strip())
    return None


def names(element):
    fields = (("last_name", "LastName"), ("fore_name", "ForeName"), ("initials", "Initials"), ("suffix", "Suffix"))
    return {k: child_text(element, n) for k, n in fields}


def headings(citation):
    found = []
    for h in all_(citation, "MeshHeadingList/MeshHeading"):
        d = child(h, "DescriptorName")
        if text(d) is not None:
            found.append({
                "ui": get(d, "UI"), "name": text(d), "major": yes(d, "MajorTopicYN"), "type": get(d, "Type"),
                "auto": yes(d, "AutoHM"),
                "qualifiers": [
                    {"ui": get(q, "UI"), "name": text(q), "major": yes(q, "MajorTopicYN"), "auto": yes(q, "AutoHM")}
                    for q in full(h, "QualifierName")
                ],
            })
    return found


def article(root):
    citation, data = child(root, "MedlineCitation"), child(root, "PubmedData")
    art, info = child(citation, "Article"), child(citation, "MedlineJournalInfo")
    journal, abstracts = child(art, "Journal"), all_(art, "Abstract")
    issue, date_text = child(journal, "JournalIssue"), {}
    pmid, version = own_pmid(citation)
    comments = [comment(c) for c in all_(citation, "CommentsCorrectionsList/CommentsCorrections")]
    comments = [c for c in comments if any(v is not None for k, v in c.items() if k != "version")]
    type_lists, eids, p = all_(art, "PublicationTypeList"), elocations(art), pages(art)
    title = own_title((art, "ArticleTitle"), (citation, "ArticleTitle"))
    own, other = own_ids(all_(data, "ArticleIdList"), eids)
    return {
        "pmid": pmid, "version": version, "version_id": get(citation, "VersionID"),
        "version_date": get(citation, "VersionDate"), "kind": "article",
        "complete": {
            "authors": complete(art, "AuthorList"), "grants": complete(art, "GrantList"),
            "data_banks": complete(art, "DataBankList"),
        },
        "status": get(citation, "Status"), "owner": get(citation, "Owner"), "indexing_method": get(citation, "IndexingMethod"),
        "title": text(title), "vernacular_title": child_text(art, "VernacularTitle"), "abstract": sections(abstracts),
        "other_abstracts": [
            {
                "type": get(o, "Type"), "language": get(o, "Language") or "eng", "sections": sections([o]),
                "copyright": child_text(o, "CopyrightInformation"),
            }
            for o in full(citation, "OtherAbstract")
        ],
        "copyright": copyright_of(abstracts), "authors": authors(art), "investigators": investigators(citation),
        "journal": {
            "title": child_text(journal, "Title"), "iso_abbreviation": child_text(journal, "ISOAbbreviation"),
            "medline_ta": child_text(info, "MedlineTA"), "nlm_unique_id": child_text(info, "NlmUniqueID"),
            "issn": text(child(journal, "ISSN")), "issn_type": get(child(journal, "ISSN"), "IssnType"),
            "issn_linking": child_text(info, "ISSNLinking"), "volume": child_text(issue, "Volume"),
            "issue": child_text(issue, "Issue"), "medium": get(issue, "CitedMedium"), "country": child_text(info, "Country"),
        },
        "pagination": pagination(p), "pages": p, "languages": texts(art, "Language"), "pub_types": pub_types(type_lists),
        "pub_model": get(art, "PubModel"), "pub_date": pub_date(child(issue, "PubDate")), "article_dates": article_dates(art),
        "date_completed": iso(citation, "DateCompleted", "date_completed", date_text),
        "date_revised": iso(citation, "DateRevised", "date_revised", date_text), "date_text": date_text,
        "history": history(data), "publication_status": child_text(data, "PublicationStatus"),
        "ids": own, "other_article_ids": other, "elocation_ids": eids, "mesh_headings": headings(citation),
        "suppl_mesh": [
            {"ui": get(s, "UI"), "name": text(s), "type": get(s, "Type")} for s in full(citation, "SupplMeshList/SupplMeshName")
        ],
        "chemicals": [
            {
                "ui": get(child(c, "NameOfSubstance"), "UI"), "name": child_text(c, "NameOfSubstance"),
                "registry_number": child_text(c, "RegistryNumber"),
            }
            for c in full(citation, "ChemicalList/Chemical")
        ],
        "gene_symbols": texts(citation, "GeneSymbolList/GeneSymbol"), "keywords": keywords(citation), "grants": grants(art),
        "data_banks": [
            {"name": child_text(b, "DataBankName"), "accessions": texts(b, "AccessionNumberList/AccessionNumber")}
            for b in full(art, "DataBankList/DataBank")
        ],
        "citation_subsets": texts(citation, "CitationSubset"), "comments_corrections": comments,
        "integrity": integrity([e for l in type_lists for e in all_(l, "PublicationType")], comments, title, data),
        "references": references(data), "coi_statement": child_text(citation, "CoiStatement"),
        "general_notes": [{"owner": get(n, "Owner"), "text": text(n)} for n in full(citation, "GeneralNote")],
        "other_ids": [{"source": get(o, "Source"), "value": text(o)} for o in full(citation, "OtherID")],
        "space_flight_missions": texts(citation, "SpaceFlightMission"),
        "personal_name_subjects": [names(p) for p in full(citation, "PersonalNameSubjectList/PersonalNameSubject")],
        "number_of_references": count(citation), "objects": objects(data),
    }


def anchor(element):
    return {name: get(element, name) for name in ("book", "part", "sec")}


def book(root):
    document, data = child(root, "BookDocument"), child(root, "PubmedBookData")
    b, abstracts = child(document, "Book"), all_(document, "Abstract")
    pmid, version = own_pmid(document)
    book_eids, eids, p = elocations(b), elocations(document), pages(document)
    own, other = own_ids(all_(document, "ArticleIdList") + all_(data, "ArticleIdList"), book_eids + eids)
    title = own_title((document, "ArticleTitle"), (b, "BookTitle"))
    contents, date_text, book_date_text = [], {}, {}

    def read(parent, level):
        for s in all_(parent, "Section"):
            l, t = child(s, "LocationLabel"), child(s, "SectionTitle")
            if not blank(raw(s)):
                contents.append({"level": level, "label": text(l), "label_type": get(l, "Type"), "title": text(t), **anchor(t)})
            read(s, level + 1)

    for l in all_(document, "Sections"):
        read(l, 1)

    empty = (
        "other_abstracts article_dates mesh_headings suppl_mesh chemicals gene_symbols data_banks citation_subsets "
        "comments_corrections general_notes other_ids space_flight_missions personal_name_subjects"
    ).split()
    absent = (
        "version_id version_date status owner indexing_method journal pub_model date_completed coi_statement "
        "number_of_references"
    ).split()
    return {
        **{name: [] for name in empty}, **{name: None for name in absent},
        "pmid": pmid, "version": version, "kind": "book",
        "complete": {
            "authors": complete(document, "AuthorList"), "grants": complete(document, "GrantList"), "data_banks": None,
        },
        "title": text(title), "vernacular_title": child_text(document, "VernacularTitle"), "abstract": sections(abstracts),
        "copyright": copyright_of(abstracts), "authors": authors(document), "investigators": investigators(document),
        "pagination": pagination(p), "pages": p, "languages": texts(document, "Language"), "pub_types": pub_types([document]),
        "pub_date": pub_date(child(b, "PubDate")), "date_revised": iso(document, "DateRevised", "date_revised", date_text),
        "date_text": date_text, "history": history(data), "publication_status": child_text(data, "PublicationStatus"),
        "ids": own, "other_article_ids": other, "elocation_ids": eids, "keywords": keywords(document),
        "grants": grants(document), "integrity": integrity(all_(document, "PublicationType"), [], title, data),
        "references": references(document), "objects": objects(data),
        "book": {
            "title": child_text(b, "BookTitle"), "anchor": anchor(child(b, "BookTitle")),
            "chapter_anchor": anchor(child(document, "ArticleTitle")), "publisher": child_text(b, "Publisher/PublisherName"),
            "publisher_location": child_text(b, "Publisher/PublisherLocation"), "pub_date": pub_date(child(b, "PubDate")),
            "beginning_date": iso(b, "BeginningDate", "beginning_date", book_date_text),
            "ending_date": iso(b, "EndingDate", "ending_date", book_date_text),
            "contribution_date": iso(document, "ContributionDate", "contribution_date", book_date_text),
            "date_text": book_date_text, "authors": authors(b), "authors_complete": complete(b, "AuthorList"),
            "investigators": investigators(b), "volume": child_text(b, "Volume"), "volume_title": child_text(b, "VolumeTitle"),
            "edition": child_text(b, "Edition"), "collection_title": child_text(b, "CollectionTitle"), "isbns": texts(b, "Isbn"),
            "elocation_ids": book_eids, "medium": child_text(b, "Medium"), "report_number": child_text(b, "ReportNumber"),
            "location_labels": [{"type": get(l, "Type"), "text": text(l)} for l in full(document, "LocationLabel")],
            "sections": contents,
            "item_lists": [{"type": get(l, "ListType"), "items": texts(l, "Item")} for l in full(document, "ItemList")],
        },
    }


def typed(element):
    READ.clear()
    # Read parts are identified by their element, so the elements must stay alive.
    elements = list(element.iter())
    record = article(element) if element.tag == "PubmedArticle" else book(element)
    record["unmapped"] = unmapped(element)
    del elements
    return record


def records(path):
    """The record elements of a file, one at a time."""
    opened = gzip.open(path) if open(path, "rb").read(2) == b"\x1f\x8b" else open(path, "rb")
    events = etree.iterparse(
        opened, tag=("PubmedArticle", "PubmedBookArticle"), huge_tree=True, remove_comments=True, remove_pis=True
    )
    for _, element in events:
        yield element
        element.clear()
        while element.getprevious() is not None:
            del element.getparent()[0]


if __name__ == "__main__":
    for path in sys.argv[1:]:
        for element in records(path):
            sys.stdout.write(json.dumps(typed(element), ensure_ascii=False) + "\n")
