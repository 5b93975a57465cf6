//! Records with every element and attribute of PubMed's document type of 2025, with some of older ones, and with values
//! that are empty, duplicated or impossible.

/// An article with every element and attribute.
pub fn article(pmid: u32) -> String {
    let person = "<LastName>Wide</LastName><ForeName>Ada</ForeName><Initials>A</Initials><Suffix>3<sup>rd</sup></Suffix>\
                  <Identifier Source=\"ORCID\">ORCID: 0000&#x2010;0002&#x2010;1825&#x2010;0097</Identifier><AffiliationInfo>\
                  <Affiliation>Institute <sup>1</sup>.</Affiliation><Identifier Source=\"ROR\">https://ror.org/000000001\
                  </Identifier></AffiliationInfo>";
    let date = "<Year>2024</Year><Month>2</Month><Day>29</Day>";
    let math = "<mml:math xmlns:mml=\"http://www.w3.org/1998/Math/MathML\"><mml:msubsup><mml:mi>x</mml:mi><mml:mi>i</mml:mi>\
                <mml:mn>2</mml:mn></mml:msubsup><mml:mo>=</mml:mo><mml:mfrac><mml:mi>a</mml:mi><mml:mrow><mml:mi>b</mml:mi>\
                <mml:mo>+</mml:mo><mml:mn>1</mml:mn></mml:mrow></mml:mfrac><mml:msqrt><mml:mi>s</mml:mi></mml:msqrt><mml:mspace/>\
                <mml:mfenced open=\"|\" close=\"&gt;\" separators=\";\"><mml:mi>u</mml:mi><mml:mi>v</mml:mi></mml:mfenced></mml:math>";
    format!(
        "<PubmedArticle><MedlineCitation Owner=\"NLM\" Status=\"MEDLINE\" VersionID=\"2\" VersionDate=\"2024/02/29\" \
         IndexingMethod=\"Curated\"><PMID Version=\"1\">{pmid}</PMID><DateCreated>{date}</DateCreated><DateCompleted>{date}\
         </DateCompleted><DateRevised>{date}</DateRevised><Article PubModel=\"Print-Electronic\"><Journal>\
         <ISSN IssnType=\"Print\">0000-0003</ISSN><JournalIssue CitedMedium=\"Internet\"><Volume>12</Volume><Issue>3</Issue>\
         <PubDate><Year>2024</Year><Month>Feb</Month><Day>28</Day></PubDate></JournalIssue><Title>Journal of width</Title>\
         <ISOAbbreviation>J Width</ISOAbbreviation></Journal><ArticleTitle book=\"w\" part=\"p\" sec=\"s\">10<sup>-5</sup> M of \
         H<sub>2</sub>O in p53<sup>-/-</sup> mice: <b>b</b><i>i</i><u>u</u> and {math}</ArticleTitle><Pagination>\
         <StartPage>4001</StartPage><EndPage>4009</EndPage><MedlinePgn>4001-9</MedlinePgn></Pagination>\
         <ELocationID EIdType=\"doi\" ValidYN=\"Y\">10.5555/wide.{pmid}</ELocationID><ELocationID EIdType=\"pii\" ValidYN=\"N\">\
         wrong</ELocationID><Abstract><AbstractText Label=\"A&amp;B\" NlmCategory=\"METHODS\">One <DispFormula>{math}\
         </DispFormula>, &lt;two&gt;.</AbstractText><CopyrightInformation>Copyright W.</CopyrightInformation></Abstract>\
         <AuthorList CompleteYN=\"Y\" Type=\"authors\"><Author ValidYN=\"Y\" EqualContrib=\"Y\">{person}</Author><Author ValidYN=\"N\">\
         <LastName>Wider</LastName><Affiliation>An old one.</Affiliation></Author><Author><CollectiveName Investigators=\"g\">\
         The <i>Wide</i> Group</CollectiveName></Author></AuthorList><Language>eng</Language><Language>ger</Language>\
         <DataBankList CompleteYN=\"N\"><DataBank><DataBankName>GENBANK</DataBankName><AccessionNumberList>\
         <AccessionNumber>W00001</AccessionNumber><AccessionNumber>W00002</AccessionNumber></AccessionNumberList></DataBank>\
         </DataBankList><GrantList CompleteYN=\"Y\"><Grant><GrantID>W-1</GrantID><Acronym>WD</Acronym><Agency>Width Fund</Agency>\
         <Country>Nowhere</Country></Grant></GrantList><PublicationTypeList><PublicationType UI=\"D016428\">Journal Article\
         </PublicationType><PublicationType UI=\"D013485\">Research Support</PublicationType></PublicationTypeList>\
         <VernacularTitle>Breite <sup>2</sup></VernacularTitle><ArticleDate DateType=\"Electronic\">{date}</ArticleDate></Article>\
         <MedlineJournalInfo><Country>Nowhere</Country><MedlineTA>J Width</MedlineTA><NlmUniqueID>0000003</NlmUniqueID>\
         <ISSNLinking>0000-0004</ISSNLinking></MedlineJournalInfo><ChemicalList><Chemical><RegistryNumber>EC 1.1.1.1\
         </RegistryNumber><NameOfSubstance UI=\"D000001\">widine</NameOfSubstance></Chemical></ChemicalList><SupplMeshList>\
         <SupplMeshName Type=\"Protocol\" UI=\"C000002\">Wide protocol</SupplMeshName></SupplMeshList><CitationSubset>IM</CitationSubset>\
         <CommentsCorrectionsList><CommentsCorrections RefType=\"CommentIn\"><RefSource>J Width. 2025;1:2</RefSource>\
         <PMID Version=\"3\">29000001</PMID><Note>see there</Note></CommentsCorrections></CommentsCorrectionsList><GeneSymbolList>\
         <GeneSymbol>WID1</GeneSymbol></GeneSymbolList><MeshHeadingList><MeshHeading><DescriptorName UI=\"D000005\" \
         MajorTopicYN=\"N\" AutoHM=\"Y\" Type=\"Geographic\">Nowhere</DescriptorName><QualifierName UI=\"Q000001\" MajorTopicYN=\"Y\" \
         AutoHM=\"N\">history</QualifierName></MeshHeading></MeshHeadingList><NumberOfReferences>7</NumberOfReferences>\
         <PersonalNameSubjectList><PersonalNameSubject><LastName>Wideman</LastName><ForeName>W</ForeName><Initials>W</Initials>\
         <Suffix>Jr</Suffix></PersonalNameSubject></PersonalNameSubjectList><OtherID Source=\"NASA\">00000007</OtherID>\
         <OtherAbstract Type=\"Publisher\" Language=\"ger\"><AbstractText Label=\"ZIEL\" NlmCategory=\"OBJECTIVE\">Breite.\
         </AbstractText><CopyrightInformation>Copyright B.</CopyrightInformation></OtherAbstract><KeywordList Owner=\"NOTNLM\">\
         <Keyword MajorTopicYN=\"Y\">width<sub>1</sub></Keyword></KeywordList><CoiStatement>No <b>interest</b>.</CoiStatement>\
         <SpaceFlightMission>Flight W</SpaceFlightMission><InvestigatorList ID=\"g\"><Investigator ValidYN=\"Y\">{person}\
         </Investigator></InvestigatorList><GeneralNote Owner=\"NASA\">A wide note.</GeneralNote></MedlineCitation><PubmedData>\
         <History><PubMedPubDate PubStatus=\"entrez\">{date}<Hour>6</Hour><Minute>7</Minute><Second>8</Second></PubMedPubDate></History>\
         <PublicationStatus>ppublish</PublicationStatus><ArticleIdList><ArticleId IdType=\"pubmed\">{pmid}</ArticleId>\
         <ArticleId IdType=\"doi\">10.5555/wide.{pmid}</ArticleId><ArticleId IdType=\"doi\">10.5555/second.{pmid}</ArticleId>\
         </ArticleIdList><ObjectList><Object Type=\"Dataset\"><Param Name=\"id\">W7</Param></Object></ObjectList><ReferenceList>\
         <Title>Cited</Title><Reference><Citation>Wide W, <i>et al</i>.</Citation><ArticleIdList><ArticleId IdType=\"pubmed\">29000002\
         </ArticleId><ArticleId IdType=\"pubmed\">29000003</ArticleId></ArticleIdList></Reference><ReferenceList><Title>Further</Title>\
         <Reference><Citation>Narrow N.</Citation></Reference></ReferenceList></ReferenceList></PubmedData></PubmedArticle>"
    )
}

/// A book with every element and attribute.
pub fn book(pmid: u32) -> String {
    let person = "<LastName>Wide</LastName><ForeName>Ada</ForeName><Initials>A</Initials><Suffix>Jr</Suffix><Identifier \
                  Source=\"orcid\">000000021825009X</Identifier><AffiliationInfo><Affiliation>A <sub>1</sub>.</Affiliation>\
                  <Identifier Source=\"ROR\">https://ror.org/000000002</Identifier></AffiliationInfo>";
    let date = "<Year>2023</Year><Month>4</Month><Day>30</Day>";
    let anchor = "book=\"wide\" part=\"p1\" sec=\"s1\"";
    format!(
        "<PubmedBookArticle><BookDocument><PMID Version=\"1\">{pmid}</PMID><ArticleIdList><ArticleId IdType=\"bookaccession\">\
         NBK{pmid}</ArticleId><ArticleId IdType=\"doi\">10.5555/chapter.{pmid}</ArticleId></ArticleIdList><Book><Publisher>\
         <PublisherName>Wide <i>Press</i></PublisherName><PublisherLocation>Nowhere</PublisherLocation></Publisher>\
         <BookTitle {anchor}>The wide <b>book</b></BookTitle><PubDate>{date}</PubDate><BeginningDate>{date}</BeginningDate>\
         <EndingDate>{date}</EndingDate><AuthorList Type=\"editors\" CompleteYN=\"N\"><Author ValidYN=\"Y\" EqualContrib=\"N\">{person}\
         </Author></AuthorList><InvestigatorList ID=\"h\"><Investigator ValidYN=\"Y\">{person}</Investigator></InvestigatorList>\
         <Volume>2</Volume><VolumeTitle>Second <i>half</i></VolumeTitle><Edition>3rd</Edition><CollectionTitle {anchor}>Widths\
         </CollectionTitle><Isbn>0000000000001</Isbn><Isbn>0000000000002</Isbn><ELocationID EIdType=\"doi\" ValidYN=\"Y\">\
         10.5555/book.{pmid}</ELocationID><Medium>Internet</Medium><ReportNumber>R-7</ReportNumber></Book>\
         <LocationLabel Type=\"chapter\">7</LocationLabel><ArticleTitle {anchor}>A chapter: H<sub>2</sub></ArticleTitle>\
         <VernacularTitle>Ein Kapitel</VernacularTitle><Pagination><StartPage>7</StartPage><EndPage>9</EndPage><MedlinePgn>7-9\
         </MedlinePgn></Pagination><Language>eng</Language><AuthorList Type=\"authors\" CompleteYN=\"Y\"><Author ValidYN=\"Y\">{person}\
         </Author></AuthorList><InvestigatorList ID=\"i\"><Investigator ValidYN=\"Y\">{person}</Investigator></InvestigatorList>\
         <PublicationType UI=\"D016454\">Review</PublicationType><Abstract><AbstractText Label=\"SCOPE\" NlmCategory=\"OBJECTIVE\">\
         Wide.</AbstractText><CopyrightInformation>Copyright W.</CopyrightInformation></Abstract><Sections><Section>\
         <LocationLabel Type=\"section\">1</LocationLabel><SectionTitle {anchor}>First</SectionTitle><Section><SectionTitle \
         book=\"wide\">Within</SectionTitle></Section></Section></Sections><KeywordList Owner=\"NLM\"><Keyword MajorTopicYN=\"N\">\
         width</Keyword></KeywordList><ContributionDate>{date}</ContributionDate><DateRevised>{date}</DateRevised>\
         <GrantList CompleteYN=\"Y\"><Grant><GrantID>W-2</GrantID><Acronym>WD</Acronym><Agency>Width Fund</Agency><Country>Nowhere\
         </Country></Grant></GrantList><ItemList ListType=\"Synonyms\"><Item>Broad</Item></ItemList><ReferenceList><Title>Cited</Title>\
         <Reference><Citation>Wide W.</Citation><ArticleIdList><ArticleId IdType=\"pmc\">PMC0000002</ArticleId></ArticleIdList>\
         </Reference></ReferenceList></BookDocument><PubmedBookData><History><PubMedPubDate PubStatus=\"pubmed\">{date}<Hour>6</Hour>\
         <Minute>7</Minute></PubMedPubDate></History><PublicationStatus>ppublish</PublicationStatus><ArticleIdList>\
         <ArticleId IdType=\"pubmed\">{pmid}</ArticleId></ArticleIdList><ObjectList><Object Type=\"Dataset\"><Param Name=\"id\">W8</Param>\
         </Object></ObjectList></PubmedBookData></PubmedBookArticle>"
    )
}

/// An article with empty elements and attributes next to ones with values, duplicates, dates that do not exist, and
/// elements that PubMed no longer has.
pub fn odd(pmid: u32) -> String {
    let nothing = "<Year/><Month> </Month><Day>&#160;</Day>";
    let never = "<Year>2023</Year><Month>02</Month><Day>29</Day>";
    format!(
        "<PubmedArticle><MedlineCitation Status=\"\" Owner=\"NLM\"><PMID Version=\"1\">{pmid}</PMID><DateCompleted>{nothing}\
         </DateCompleted><DateRevised>{never}</DateRevised><Article PubModel=\" \"><Journal/><Journal><JournalIssue><PubDate/>\
         <PubDate><MedlineDate/><Year>2016</Year><Month>Jan-Feb</Month><Day/></PubDate></JournalIssue></Journal><ArticleTitle/>\
         <ArticleTitle>WITHDRAWN: <i>odd</i></ArticleTitle><ArticleTitle>A second title</ArticleTitle><Pagination><StartPage>12</StartPage>\
         <EndPage>15</EndPage><MedlinePgn/></Pagination><ELocationID EIdType=\"doi\" ValidYN=\"Y\"/><ELocationID EIdType=\"doi\" \
         ValidYN=\"yes\">10.5555/odd.{pmid}</ELocationID><Abstract/><Abstract><AbstractText Label=\"LOST\"/><AbstractText>&#8201;\
         </AbstractText><AbstractText Label=\"\">Odd.</AbstractText></Abstract><Abstract><AbstractText>Odder.</AbstractText>\
         <CopyrightInformation>C</CopyrightInformation></Abstract><Affiliation>Of the article.</Affiliation><AuthorList CompleteYN=\"Y\"/>\
         <AuthorList CompleteYN=\"maybe\"><Author ValidYN=\"Y\"/><Author>Stray<LastName>Odd</LastName><LastName>Even</LastName>\
         <Identifier Source=\"ORCID\">bad</Identifier><Identifier Source=\"ORCID\">http://orcid.org0000-0002-1825-0097?x</Identifier></Author>\
         </AuthorList><Language/><Language>und</Language><PublicationTypeList><PublicationType UI=\"D016428\"/></PublicationTypeList>\
         <ArticleDate DateType=\"Electronic\"><Year>2012</Year><Month>11</Month><Day>31</Day></ArticleDate></Article><MedlineJournalInfo/>\
         <CommentsCorrections><CommentIn><RefSource>Old form</RefSource><PMID>29000001</PMID></CommentIn></CommentsCorrections>\
         <MeshHeadingList><MeshHeading><QualifierName UI=\"Q000002\">alone</QualifierName></MeshHeading></MeshHeadingList>\
         <NumberOfReferences>some</NumberOfReferences></MedlineCitation><PubmedData><History><PubMedPubDate PubStatus=\"retracted\">\
         <Year>2012</Year><Month>2</Month><Day>30</Day></PubMedPubDate><PubMedPubDate PubStatus=\"pubmed\"><Year>2012</Year><Month>2</Month>\
         <Day>3</Day><Hour>24</Hour><Minute>60</Minute></PubMedPubDate></History><PublicationStatus/><ArticleIdList><ArticleId \
         IdType=\"doi\"/><ArticleId>{pmid}</ArticleId><ArticleId IdType=\"pmc\"> </ArticleId><ArticleId IdType=\"pmc\">PMC0000001</ArticleId>\
         </ArticleIdList><ReferenceList><Title>Only of lists</Title><ReferenceList><Reference><Citation/></Reference></ReferenceList>\
         </ReferenceList></PubmedData></PubmedArticle>"
    )
}
