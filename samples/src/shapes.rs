//! Hand-written records: one for each unusual form of real records.

use std::fmt::Write;

use crate::wide;

/// A hand-written record.
#[derive(Clone, Debug)]
pub struct Shape {
    /// What the record demonstrates.
    pub name: &'static str,
    pub pmid: u32,
    pub xml: String,
}

/// PMIDs of shapes start after this one.
pub const FIRST: u32 = 29_000_000;

/// All shapes, in a fixed order. All PMIDs differ except that of `a second version`, which is a later version of the
/// record before it.
pub fn all() -> Vec<Shape> {
    let mut shapes = Vec::new();
    let mut pmid = FIRST;
    for (name, build) in SHAPES {
        if name != "a second version" {
            pmid += 1;
        }
        shapes.push(Shape { name, pmid, xml: build(pmid) });
    }
    shapes
}

type Build = fn(u32) -> String;

const SHAPES: [(&str, Build); 24] = [
    ("a structured abstract", |pmid| {
        article(
            pmid,
            "A structured abstract",
            "<Abstract><AbstractText Label=\"AIMS\" NlmCategory=\"OBJECTIVE\">To see.</AbstractText><AbstractText Label=\"FINDINGS\" NlmCategory=\"UNASSIGNED\">Seen: P &lt; 0.001, 5&#x2009;&#xb5;m.</AbstractText><AbstractText>Without label.</AbstractText><CopyrightInformation>Copyright &#xa9; 2025 Nobody.</CopyrightInformation></Abstract>",
            "",
            "",
        )
    }),
    ("nested markup and MathML", |pmid| {
        article(
            pmid,
            "<i>In vivo</i> H<sub>2</sub>O<sub>2</sub> and 10<sup>-<i>n</i></sup> of <b><i>CYP2C19</i>*17</b> by <mml:math xmlns:mml=\"http://www.w3.org/1998/Math/MathML\"><mml:mrow><mml:mi>x</mml:mi> <mml:mo>&lt;</mml:mo> <mml:mn>2</mml:mn></mml:mrow></mml:math>",
            "<Abstract><AbstractText>As <DispFormula><mml:math xmlns:mml=\"http://www.w3.org/1998/Math/MathML\"><mml:msup><mml:mi>e</mml:mi><mml:mn>2</mml:mn></mml:msup></mml:math></DispFormula> shows, <u>lines</u> count.</AbstractText></Abstract>",
            "",
            "",
        )
    }),
    ("collective authors with investigators", |pmid| {
        article(
            pmid,
            "A trial of groups",
            "<AuthorList CompleteYN=\"Y\" Type=\"authors\"><Author ValidYN=\"Y\" EqualContrib=\"Y\"><LastName>Okafor</LastName><ForeName>Ada</ForeName><Initials>A</Initials><Suffix>3<sup>rd</sup></Suffix><Identifier Source=\"ORCID\">https://orcid.org/0000-0002-1825-0097</Identifier><AffiliationInfo><Affiliation>First &amp; <i>Second</i> Institute.</Affiliation><Identifier Source=\"ROR\">https://ror.org/000000000</Identifier></AffiliationInfo><AffiliationInfo><Affiliation>Another Institute.</Affiliation></AffiliationInfo></Author><Author ValidYN=\"N\"><LastName>Okafro</LastName></Author><Author ValidYN=\"Y\"><CollectiveName Investigators=\"g1\">The <i>DEMO</i> Study Group</CollectiveName></Author></AuthorList>",
            "<InvestigatorList ID=\"g1\"><Investigator ValidYN=\"Y\"><LastName>Tanaka</LastName><ForeName>Yuki</ForeName><Initials>Y</Initials></Investigator><Investigator ValidYN=\"Y\"><LastName>Silva</LastName></Investigator></InvestigatorList>",
            "",
        )
    }),
    ("a MedlineDate", |pmid| {
        article(pmid, "Seasons", "", "", "")
            .replace("<Year>2025</Year><Month>May</Month>", "<MedlineDate>1998 Dec-1999 Jan</MedlineDate>")
    }),
    ("a season", |pmid| {
        article(pmid, "Spring", "", "", "")
            .replace("<Year>2025</Year><Month>May</Month>", "<Year>2025</Year><Season>Spring</Season>")
    }),
    ("a retracted paper", |pmid| {
        article(
            pmid,
            "RETRACTED: It was not so",
            "",
            &format!(
                "<CommentsCorrectionsList><CommentsCorrections RefType=\"RetractionIn\"><RefSource>J Constr Med. 2026;1:2</RefSource><PMID Version=\"1\">{}</PMID><Note>see there</Note></CommentsCorrections></CommentsCorrectionsList>",
                pmid + 1
            ),
            "",
        )
    }),
    ("its retraction notice", |pmid| {
        article(pmid, "Retraction: It was not so", "", &format!("<CommentsCorrectionsList><CommentsCorrections RefType=\"RetractionOf\"><RefSource>J Constr Med. 2025;1:1</RefSource><PMID Version=\"1\">{}</PMID></CommentsCorrections></CommentsCorrectionsList>", pmid - 1), "").replace("D016428\">Journal Article", "D016440\">Retraction of Publication")
    }),
    ("an erratum and a concern", |pmid| {
        article(
            pmid,
            "Corrected, then doubted",
            "",
            "<CommentsCorrectionsList><CommentsCorrections RefType=\"ErratumIn\"><RefSource>J Constr Med. 2026;3:4</RefSource></CommentsCorrections><CommentsCorrections RefType=\"ExpressionOfConcernIn\"><RefSource>J Constr Med. 2026;5:6</RefSource></CommentsCorrections></CommentsCorrectionsList>",
            "",
        )
    }),
    ("a first version", |pmid| article(pmid, "Versions, the first", "", "", "")),
    ("a second version", |pmid| {
        article(pmid, "Versions, the second", "", "", "")
            .replace("<PMID Version=\"1\">", "<PMID Version=\"2\">")
            .replace("Owner=\"NLM\">", "Owner=\"NLM\" VersionID=\"2\" VersionDate=\"2025/06/01\">")
    }),
    ("a whole book", book),
    ("a chapter", |pmid| {
        book(pmid).replace("<ArticleIdList>", "<ArticleIdList><ArticleId IdType=\"pmc\">PMC0000001</ArticleId>").replace("</Book>", "</Book><LocationLabel Type=\"chapter\">7</LocationLabel><ArticleTitle book=\"b\" part=\"p7\">A chapter on <i>x</i></ArticleTitle>")
    }),
    ("non-Latin and astral text", |pmid| {
        article(
            pmid,
            "[\u{4e2d}\u{6587}\u{6807}\u{9898}] \u{1f9ec} and \u{1d6fc}, e\u{301}",
            "<VernacularTitle>\u{41b}\u{435}\u{447}\u{435}\u{43d}\u{438}\u{435} \u{645}\u{631}\u{62d}\u{628}\u{627} \u{05e9}\u{05dc}\u{05d5}\u{05dd}</VernacularTitle>",
            "<OtherAbstract Type=\"Publisher\" Language=\"rus\"><AbstractText>\u{420}\u{435}\u{437}\u{443}\u{43b}\u{44c}\u{442}\u{430}\u{442}\u{44b}.</AbstractText></OtherAbstract>",
            "",
        )
    }),
    ("comments, CDATA and instructions", |pmid| {
        article(
            pmid,
            "Before <!-- </PubmedArticle> <PMID>1</PMID> -->after <![CDATA[<b>&amp; </PubmedArticle>]]><?pi >?> end",
            "",
            "",
            "",
        )
    }),
    ("an empty title", |pmid| {
        article(pmid, "", "", "", "").replace("<ArticleTitle></ArticleTitle>", "<ArticleTitle/>")
    }),
    ("odd but correct XML", |pmid| {
        article(pmid, "a > b", "", "<OtherID Source = 'NASA' >9 > 8</OtherID\n>", "")
            .replace("<Language>eng</Language>", "<Language\t>eng</Language >\r\n<Language>ger</Language>")
    }),
    ("nested reference lists", |pmid| {
        article(
            pmid,
            "References",
            "",
            "",
            "<ReferenceList><Title>Primary</Title><Reference><Citation>One, <i>et al</i>.</Citation><ArticleIdList><ArticleId IdType=\"doi\">10.5555/cited</ArticleId></ArticleIdList></Reference><ReferenceList><Title>Secondary</Title><Reference><Citation>Two.</Citation></Reference></ReferenceList></ReferenceList>",
        )
    }),
    ("subjects of every kind", |pmid| {
        article(
            pmid,
            "Subjects",
            "<DataBankList CompleteYN=\"Y\"><DataBank><DataBankName>ClinicalTrials.gov</DataBankName><AccessionNumberList><AccessionNumber>NCT00000000</AccessionNumber></AccessionNumberList></DataBank></DataBankList><GrantList CompleteYN=\"Y\"><Grant><GrantID>R01</GrantID><Acronym>XX</Acronym><Agency>Nobody</Agency><Country>Nowhere</Country></Grant></GrantList>",
            "<ChemicalList><Chemical><RegistryNumber>0</RegistryNumber><NameOfSubstance UI=\"C000000\">demo-in</NameOfSubstance></Chemical></ChemicalList><SupplMeshList><SupplMeshName Type=\"Disease\" UI=\"C000001\">Demo disease</SupplMeshName></SupplMeshList><GeneSymbolList><GeneSymbol>DEMO1</GeneSymbol></GeneSymbolList><MeshHeadingList><MeshHeading><DescriptorName UI=\"D000001\" MajorTopicYN=\"Y\" AutoHM=\"Y\" Type=\"Geographic\">Nowhere</DescriptorName></MeshHeading></MeshHeadingList><NumberOfReferences>12</NumberOfReferences><PersonalNameSubjectList><PersonalNameSubject><LastName>Subject</LastName></PersonalNameSubject></PersonalNameSubjectList><KeywordList Owner=\"NOTNLM\"><Keyword MajorTopicYN=\"N\">key<sub>1</sub></Keyword></KeywordList><CoiStatement>None <b>at all</b>.</CoiStatement><SpaceFlightMission>Flight 1</SpaceFlightMission><GeneralNote Owner=\"NASA\">A note.</GeneralNote>",
            "<ObjectList><Object Type=\"grant\"><Param Name=\"id\">7</Param></Object></ObjectList>",
        )
    }),
    ("a wrong DOI and a right one", |pmid| {
        article(pmid, "Identifiers", "", "", "").replace("<Language>eng", "<ELocationID EIdType=\"doi\" ValidYN=\"N\">10.5555/wrong</ELocationID><ELocationID EIdType=\"pii\" ValidYN=\"Y\">S1</ELocationID><Language>eng")
    }),
    ("nothing but the necessary", |pmid| {
        format!(
            "<PubmedArticle><MedlineCitation Status=\"Publisher\"><PMID Version=\"1\">{pmid}</PMID><Article PubModel=\"Print\"><Journal><JournalIssue CitedMedium=\"Print\"><PubDate><MedlineDate>Spring</MedlineDate></PubDate></JournalIssue></Journal><ArticleTitle>Not Available</ArticleTitle><Language>und</Language><PublicationTypeList><PublicationType UI=\"\">Letter</PublicationType></PublicationTypeList></Article><MedlineJournalInfo><MedlineTA>X</MedlineTA></MedlineJournalInfo></MedlineCitation></PubmedArticle>"
        )
    }),
    ("over a megabyte", |pmid| {
        let mut authors = String::from("<AuthorList CompleteYN=\"Y\">");
        for n in 0..6000 {
            let _ = write!(
                authors,
                "<Author ValidYN=\"Y\"><LastName>Author{n}</LastName><ForeName>Number {n}</ForeName><Initials>N</Initials><AffiliationInfo><Affiliation>Institute {} of the large collaboration, Building {}.</Affiliation></AffiliationInfo></Author>",
                n % 211,
                n % 17
            );
        }
        authors.push_str("</AuthorList>");
        article(pmid, "A very large collaboration", &authors, "", "")
    }),
    ("everything an article may have", wide::article),
    ("everything a book may have", wide::book),
    ("empty, doubled and impossible values", wide::odd),
];

/// An article: `in_article` is inserted before Language or replaces the abstract, `in_citation` follows the journal,
/// `in_data` is at the end.
fn article(pmid: u32, title: &str, in_article: &str, in_citation: &str, in_data: &str) -> String {
    let (before, after) = if in_article.starts_with("<Abstract") || in_article.starts_with("<AuthorList") {
        (in_article, "")
    } else {
        ("", in_article)
    };
    let retracted = if title.starts_with("RETRACTED") {
        "<PublicationType UI=\"D016441\">Retracted Publication</PublicationType>"
    } else {
        ""
    };
    format!(
        "<PubmedArticle><MedlineCitation Status=\"MEDLINE\" Owner=\"NLM\"><PMID Version=\"1\">{pmid}</PMID>\
         <DateRevised><Year>2025</Year><Month>07</Month><Day>01</Day></DateRevised><Article PubModel=\"Print\">\
         <Journal><ISSN IssnType=\"Print\">0000-0001</ISSN><JournalIssue CitedMedium=\"Print\"><Volume>1</Volume>\
         <Issue>2</Issue><PubDate><Year>2025</Year><Month>May</Month></PubDate></JournalIssue>\
         <Title>Journal of constructed medicine</Title></Journal><ArticleTitle>{title}</ArticleTitle>\
         <Pagination><StartPage>4002.e26</StartPage><EndPage>007</EndPage></Pagination>{before}\
         <Language>eng</Language>{after}<PublicationTypeList><PublicationType UI=\"D016428\">Journal Article</PublicationType>\
         {retracted}</PublicationTypeList></Article><MedlineJournalInfo><Country>Nowhere</Country>\
         <MedlineTA>J Constr Med</MedlineTA><NlmUniqueID>0000001</NlmUniqueID><ISSNLinking>0000-0002</ISSNLinking>\
         </MedlineJournalInfo>{in_citation}</MedlineCitation><PubmedData><History><PubMedPubDate PubStatus=\"entrez\">\
         <Year>2025</Year><Month>5</Month><Day>2</Day><Hour>6</Hour><Minute>0</Minute></PubMedPubDate></History>\
         <PublicationStatus>ppublish</PublicationStatus><ArticleIdList><ArticleId IdType=\"pubmed\">{pmid}</ArticleId>\
         <ArticleId IdType=\"doi\">10.5555/shape.{pmid}</ArticleId></ArticleIdList>{in_data}</PubmedData></PubmedArticle>"
    )
}

fn book(pmid: u32) -> String {
    format!(
        "<PubmedBookArticle><BookDocument><PMID Version=\"1\">{pmid}</PMID><ArticleIdList>\
         <ArticleId IdType=\"bookaccession\">NBK{pmid}</ArticleId></ArticleIdList><Book><Publisher>\
         <PublisherName>Demo <i>Press</i></PublisherName><PublisherLocation>Nowhere</PublisherLocation></Publisher>\
         <BookTitle book=\"b\">A book of <b>demos</b></BookTitle><PubDate><Year>2024</Year></PubDate><BeginningDate>\
         <Year>2020</Year></BeginningDate><EndingDate><Year>2025</Year><Month>12</Month></EndingDate>\
         <AuthorList Type=\"editors\" CompleteYN=\"Y\"><Author ValidYN=\"Y\"><LastName>Editor</LastName></Author></AuthorList>\
         <Volume>2</Volume><Edition>3rd</Edition><CollectionTitle>The demos</CollectionTitle><Isbn>0000000000000</Isbn>\
         <Medium>Internet</Medium></Book><Language>eng</Language><AuthorList Type=\"authors\" CompleteYN=\"Y\"><Author ValidYN=\"Y\">\
         <LastName>Writer</LastName><ForeName>A</ForeName></Author></AuthorList><PublicationType UI=\"D016454\">Review</PublicationType>\
         <Abstract><AbstractText>What the book says.</AbstractText></Abstract><Sections><Section><LocationLabel Type=\"part\">1</LocationLabel>\
         <SectionTitle book=\"b\" part=\"s1\">First <i>part</i></SectionTitle><Section><SectionTitle book=\"b\" part=\"s1a\">Within</SectionTitle>\
         </Section></Section></Sections><ContributionDate><Year>2024</Year><Month>3</Month><Day>4</Day></ContributionDate><DateRevised>\
         <Year>2025</Year><Month>1</Month><Day>2</Day></DateRevised><ItemList ListType=\"Synonyms\"><Item>Demo</Item></ItemList>\
         </BookDocument><PubmedBookData><History><PubMedPubDate PubStatus=\"pubmed\"><Year>2024</Year><Month>3</Month><Day>5</Day>\
         </PubMedPubDate></History><PublicationStatus>ppublish</PublicationStatus><ArticleIdList>\
         <ArticleId IdType=\"pubmed\">{pmid}</ArticleId></ArticleIdList></PubmedBookData></PubmedBookArticle>"
    )
}
