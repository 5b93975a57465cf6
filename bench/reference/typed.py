"""The typed record built with lxml: what the program's parser is compared with, value by value.

    typed.py FILE...    one JSON object a line, keys sorted
"""
import gzip
import json
import re
import sys

from lxml import etree

MONTHS = {m: n for n, m in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
NOTICES = {
    "RetractionIn", "RetractedandRepublishedIn", "RetractionOf", "ExpressionOfConcernIn", "ErratumIn",
    "CorrectedandRepublishedIn",
}


def text(element):
    return None if element is None else "".join(element.itertext())


def child(element, path):
    return None if element is None else element.find(path)


def all_(element, path):
    return [] if element is None else element.findall(path)


def child_text(element, path):
    return text(child(element, path))


def texts(element, path):
    return [text(e) for e in all_(element, path)]


def get(element, name):
    return None if element is None else element.get(name)


def yes(element, name):
    return get(element, name) == "Y"


def number(value, top):
    value = (value or "").strip()
    ok = value.isascii() and value.isdigit() and len(value) <= 2 and 1 <= int(value) <= top
    return int(value) if ok else None


def iso(element):
    year = (child_text(element, "Year") or "").strip()
    if not re.fullmatch("[0-9]{4}", year):
        return None
    month_text = (child_text(element, "Month") or "").strip()
    month = MONTHS.get(month_text.lower()[:3]) or number(month_text, 12)
    if month is None:
        return year
    day = number(child_text(element, "Day"), 31)
    return f"{year}-{month:02}" if day is None else f"{year}-{month:02}-{day:02}"


def pub_date(element):
    medline, season = child_text(element, "MedlineDate"), child_text(element, "Season")
    if medline is not None:
        year = re.search(r"\b(18|19|20)\d{2}\b", medline, re.ASCII)
        date = year.group(0) if year else None
        return {"date": date, "precision": "year" if date else "none", "medline_date": medline, "season": None}
    date = None if element is None else iso(element)
    if date is None:
        return {"date": None, "precision": "none", "medline_date": None, "season": season}
    if season is not None:
        return {"date": date[:4], "precision": "season", "medline_date": None, "season": season}
    precision = {4: "year", 7: "month", 10: "day"}[len(date)]
    return {"date": date, "precision": precision, "medline_date": None, "season": None}


def stamp(element):
    def part(name):
        value = (child_text(element, name) or "").strip()
        return int(value) if re.fullmatch("[0-9]{1,2}", value) else None

    at, hour = iso(element), part("Hour")
    if at and len(at) == 10 and hour is not None:
        at += f"T{hour:02}:{part('Minute') or 0:02}"
        if part("Second") is not None:
            at += f":{part('Second'):02}"
    return {"status": element.get("PubStatus"), "at": at}


def identifiers(element):
    return [{"source": i.get("Source"), "value": text(i)} for i in all_(element, "Identifier")]


def orcid(value):
    digits = value.strip().rstrip("/").rsplit("/", 1)[-1].replace("-", "").replace(" ", "")
    if not re.match("[0-9]{15}[0-9Xx]$", digits):
        return None
    digits = digits.upper()
    return "-".join(digits[n : n + 4] for n in range(0, 16, 4))


def person(element, group, role):
    ids = identifiers(element)
    first_orcid = next((i["value"] for i in ids if i["source"] == "ORCID"), None)
    infos = all_(element, "AffiliationInfo")
    return {
        "last_name": child_text(element, "LastName"), "fore_name": child_text(element, "ForeName"),
        "initials": child_text(element, "Initials"), "suffix": child_text(element, "Suffix"),
        "collective_name": child_text(element, "CollectiveName"),
        "orcid": orcid(first_orcid) if first_orcid is not None else None, "identifiers": ids,
        "affiliations": [t for i in infos for t in texts(i, "Affiliation")] + texts(element, "Affiliation"),
        "affiliation_identifiers": [i for info in infos for i in identifiers(info)],
        "equal_contrib": yes(element, "EqualContrib"), "valid": element.get("ValidYN") != "N",
        "group": group, "role": role,
    }


def authors(parent):
    return [
        person(a, get(child(a, "CollectiveName"), "Investigators"), l.get("Type"))
        for l in all_(parent, "AuthorList") for a in all_(l, "Author")
    ]


def investigators(parent):
    return [person(i, l.get("ID"), None) for l in all_(parent, "InvestigatorList") for i in all_(l, "Investigator")]


def sections(parent):
    return [
        {"label": s.get("Label"), "category": s.get("NlmCategory"), "text": text(s)}
        for s in all_(parent, "AbstractText")
    ]


def ids(article_id_list):
    found = {}
    for i in all_(article_id_list, "ArticleId"):
        found.setdefault(i.get("IdType", "pubmed"), text(i))
    return found


def own_ids(article_id_list, elocations):
    found = ids(article_id_list)
    for e in elocations:
        if e["valid"] and e["type"] is not None:
            found.setdefault(e["type"], e["value"])
    for always in ("doi", "pmc", "pii"):
        found.setdefault(always, None)
    return found


def references(parent):
    found = []

    def read(l):
        title = child_text(l, "Title")
        for c in l:
            if c.tag == "Reference":
                found.append({"citation": child_text(c, "Citation"), "ids": ids(child(c, "ArticleIdList")), "section": title})
            elif c.tag == "ReferenceList":
                read(c)

    for l in all_(parent, "ReferenceList"):
        read(l)
    return found


def elocations(parent):
    return [
        {"type": e.get("EIdType"), "value": text(e), "valid": e.get("ValidYN") != "N"}
        for e in all_(parent, "ELocationID")
    ]


def pagination(parent):
    p = child(parent, "Pagination")
    medline, start, end = (child_text(p, n) for n in ("MedlinePgn", "StartPage", "EndPage"))
    if medline is not None:
        return medline
    return f"{start}-{end}" if start is not None and end is not None else start


def pub_types(parent):
    return [{"ui": p.get("UI"), "name": text(p)} for p in all_(parent, "PublicationType")]


def keywords(parent):
    return [
        {"owner": l.get("Owner"), "text": text(k), "major": yes(k, "MajorTopicYN")}
        for l in all_(parent, "KeywordList") for k in all_(l, "Keyword")
    ]


def grants(parent):
    return [
        {k: child_text(g, n) for k, n in (("id", "GrantID"), ("acronym", "Acronym"), ("agency", "Agency"), ("country", "Country"))}
        for g in all_(parent, "GrantList/Grant")
    ]


def objects(data):
    return [
        {"type": o.get("Type"), "params": [[p.get("Name"), text(p)] for p in all_(o, "Param")]}
        for o in all_(data, "ObjectList/Object")
    ]


def integrity(types, comments):
    refs = {c["ref_type"] for c in comments}
    uis, names = {t["ui"] for t in types}, {t["name"] for t in types}
    if "D016441" in uis or "Retracted Publication" in names or refs & {"RetractionIn", "RetractedandRepublishedIn"}:
        status = "retracted"
    elif "D016440" in uis or names & {"Retraction of Publication", "Retraction Notice"} or "RetractionOf" in refs:
        status = "retraction_notice"
    elif "ExpressionOfConcernIn" in refs:
        status = "concern"
    elif refs & {"ErratumIn", "CorrectedandRepublishedIn"}:
        status = "corrected"
    else:
        status = "ok"
    return {"status": status, "notices": [c for c in comments if c["ref_type"] in NOTICES]}


def own_pmid(parent):
    element = child(parent, "PMID")
    try:
        version = int(element.get("Version", "1"))
    except ValueError:
        version = 1
    return text(element).strip(), version


def count(value):
    value = (value or "").strip()
    return int(value) if re.fullmatch(r"[+-]?[0-9]+", value) else None


def article(root):
    citation, data = child(root, "MedlineCitation"), child(root, "PubmedData")
    art, info = child(citation, "Article"), child(citation, "MedlineJournalInfo")
    journal, abstract = child(art, "Journal"), child(art, "Abstract")
    issue = child(journal, "JournalIssue")
    pmid, version = own_pmid(citation)
    comments = [
        {"ref_type": c.get("RefType"), "pmid": child_text(c, "PMID"), "source": child_text(c, "RefSource"), "note": child_text(c, "Note")}
        for c in all_(citation, "CommentsCorrectionsList/CommentsCorrections")
    ]
    types, eids = pub_types(child(art, "PublicationTypeList")), elocations(art)
    return {
        "pmid": pmid, "version": version, "kind": "article", "status": citation.get("Status"),
        "owner": citation.get("Owner"), "indexing_method": citation.get("IndexingMethod"),
        "title": child_text(art, "ArticleTitle"), "vernacular_title": child_text(art, "VernacularTitle"),
        "abstract": sections(abstract),
        "other_abstracts": [
            {"type": o.get("Type"), "language": o.get("Language", "eng"), "sections": sections(o), "copyright": child_text(o, "CopyrightInformation")}
            for o in all_(citation, "OtherAbstract")
        ],
        "copyright": child_text(abstract, "CopyrightInformation"), "authors": authors(art),
        "investigators": investigators(citation),
        "journal": {
            "title": child_text(journal, "Title"), "iso_abbreviation": child_text(journal, "ISOAbbreviation"),
            "medline_ta": child_text(info, "MedlineTA"), "nlm_unique_id": child_text(info, "NlmUniqueID"),
            "issn": child_text(journal, "ISSN"), "issn_type": get(child(journal, "ISSN"), "IssnType"),
            "issn_linking": child_text(info, "ISSNLinking"), "volume": child_text(issue, "Volume"),
            "issue": child_text(issue, "Issue"), "medium": get(issue, "CitedMedium"), "country": child_text(info, "Country"),
        },
        "pagination": pagination(art), "languages": texts(art, "Language"), "pub_types": types,
        "pub_model": get(art, "PubModel"), "pub_date": pub_date(child(issue, "PubDate")),
        "article_dates": [d for d in map(iso, all_(art, "ArticleDate")) if d is not None],
        "date_completed": iso(child(citation, "DateCompleted")) if child(citation, "DateCompleted") is not None else None,
        "date_revised": iso(child(citation, "DateRevised")) if child(citation, "DateRevised") is not None else None,
        "history": [stamp(h) for h in all_(data, "History/PubMedPubDate")],
        "publication_status": child_text(data, "PublicationStatus"),
        "ids": own_ids(child(data, "ArticleIdList"), eids), "elocation_ids": eids,
        "mesh_headings": [
            {
                "ui": d.get("UI"), "name": text(d), "major": yes(d, "MajorTopicYN"), "type": d.get("Type"), "auto": yes(d, "AutoHM"),
                "qualifiers": [
                    {"ui": q.get("UI"), "name": text(q), "major": yes(q, "MajorTopicYN"), "auto": yes(q, "AutoHM")}
                    for q in all_(h, "QualifierName")
                ],
            }
            for h in all_(citation, "MeshHeadingList/MeshHeading") for d in [child(h, "DescriptorName")] if d is not None
        ],
        "suppl_mesh": [{"ui": s.get("UI"), "name": text(s), "type": s.get("Type")} for s in all_(citation, "SupplMeshList/SupplMeshName")],
        "chemicals": [
            {"ui": get(child(c, "NameOfSubstance"), "UI"), "name": child_text(c, "NameOfSubstance"), "registry_number": child_text(c, "RegistryNumber")}
            for c in all_(citation, "ChemicalList/Chemical")
        ],
        "gene_symbols": texts(citation, "GeneSymbolList/GeneSymbol"), "keywords": keywords(citation), "grants": grants(art),
        "data_banks": [
            {"name": child_text(b, "DataBankName"), "accessions": texts(child(b, "AccessionNumberList"), "AccessionNumber")}
            for b in all_(art, "DataBankList/DataBank")
        ],
        "citation_subsets": texts(citation, "CitationSubset"), "comments_corrections": comments,
        "integrity": integrity(types, comments), "references": references(data),
        "coi_statement": child_text(citation, "CoiStatement"),
        "general_notes": [{"owner": n.get("Owner"), "text": text(n)} for n in all_(citation, "GeneralNote")],
        "other_ids": [{"source": o.get("Source"), "value": text(o)} for o in all_(citation, "OtherID")],
        "space_flight_missions": texts(citation, "SpaceFlightMission"),
        "personal_name_subjects": [
            {k: child_text(p, n) for k, n in (("last_name", "LastName"), ("fore_name", "ForeName"), ("initials", "Initials"), ("suffix", "Suffix"))}
            for p in all_(citation, "PersonalNameSubjectList/PersonalNameSubject")
        ],
        "number_of_references": count(child_text(citation, "NumberOfReferences")), "objects": objects(data),
    }


def book(root):
    document, data = child(root, "BookDocument"), child(root, "PubmedBookData")
    b, abstract = child(document, "Book"), child(document, "Abstract")
    pmid, version = own_pmid(document)
    own_list = child(document, "ArticleIdList")
    own_list = child(data, "ArticleIdList") if own_list is None else own_list
    types, book_eids = pub_types(document), elocations(b)
    title = child_text(document, "ArticleTitle")
    contents = []

    def read(parent, level):
        for s in all_(parent, "Section"):
            contents.append({"level": level, "label": child_text(s, "LocationLabel"), "title": child_text(s, "SectionTitle")})
            read(s, level + 1)

    for l in all_(document, "Sections"):
        read(l, 1)

    def date(parent, name):
        element = child(parent, name)
        return None if element is None else iso(element)

    empty = (
        "other_abstracts article_dates mesh_headings suppl_mesh chemicals gene_symbols data_banks citation_subsets "
        "comments_corrections general_notes other_ids space_flight_missions personal_name_subjects"
    ).split()
    absent = "status owner indexing_method journal pub_model date_completed coi_statement number_of_references".split()
    return {
        **{name: [] for name in empty}, **{name: None for name in absent},
        "pmid": pmid, "version": version, "kind": "book",
        "title": title if title is not None else child_text(b, "BookTitle"),
        "vernacular_title": child_text(document, "VernacularTitle"), "abstract": sections(abstract),
        "copyright": child_text(abstract, "CopyrightInformation"), "authors": authors(document),
        "investigators": investigators(document), "pagination": pagination(document), "languages": texts(document, "Language"),
        "pub_types": types, "pub_date": pub_date(child(b, "PubDate")), "date_revised": date(document, "DateRevised"),
        "history": [stamp(h) for h in all_(data, "History/PubMedPubDate")],
        "publication_status": child_text(data, "PublicationStatus"), "ids": own_ids(own_list, book_eids),
        "elocation_ids": elocations(document), "keywords": keywords(document), "grants": grants(document),
        "integrity": integrity(types, []), "references": references(document), "objects": objects(data),
        "book": {
            "title": child_text(b, "BookTitle"), "publisher": child_text(b, "Publisher/PublisherName"),
            "publisher_location": child_text(b, "Publisher/PublisherLocation"), "pub_date": pub_date(child(b, "PubDate")),
            "beginning_date": date(b, "BeginningDate"), "ending_date": date(b, "EndingDate"),
            "contribution_date": date(document, "ContributionDate"), "authors": authors(b), "investigators": investigators(b),
            "volume": child_text(b, "Volume"), "volume_title": child_text(b, "VolumeTitle"), "edition": child_text(b, "Edition"),
            "collection_title": child_text(b, "CollectionTitle"), "isbns": texts(b, "Isbn"), "elocation_ids": book_eids,
            "medium": child_text(b, "Medium"), "report_number": child_text(b, "ReportNumber"),
            "location_labels": [{"type": l.get("Type"), "text": text(l)} for l in all_(document, "LocationLabel")],
            "sections": contents,
            "item_lists": [{"type": l.get("ListType"), "items": texts(l, "Item")} for l in all_(document, "ItemList")],
        },
    }


def typed(element):
    return article(element) if element.tag == "PubmedArticle" else book(element)


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
