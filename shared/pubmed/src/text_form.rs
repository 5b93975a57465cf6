//! The form in which texts of a record are returned: plain, or as HTML.
//!
//! PubMed's texts have markup: `sup`, `sub`, `i`, `b`, `u` and MathML. Plain text has no tags, but 10⁻⁵ must not become
//! 10-5: superscripts and subscripts are written with Unicode characters if all their characters have one, else as
//! `^x`, `^(x y)`, `_x`, `_(x y)`. MathML is written as its text, with fractions, roots, fences and scripts.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use super::work;
use super::xml_tree::{Child, Element};

/// How texts are returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextForm {
    #[default]
    Plain,
    /// HTML that can be displayed directly: the tags `sup`, `sub`, `i`, `b` and `u` without attributes, everything else
    /// escaped.
    Html,
}

impl TextForm {
    /// Converts a text without tags to this form.
    pub fn escape(self, text: Cow<'_, str>) -> Cow<'_, str> {
        if self == Self::Plain || !text.contains(['&', '<', '>', '"', '\'']) {
            return text;
        }
        let mut out = String::with_capacity(text.len() + 16);
        escape_into(&text, &mut out);
        Cow::Owned(out)
    }
}

fn escape_into(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

/// Position of a script.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    Super,
    Sub,
}

/// Characters and their superscripts.
const SUPERSCRIPTS: (&str, &str) = (
    "0123456789+-−–‐‑=()abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRTUVWβγδθφχ",
    "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂᵝᵞᵟᶿᵠᵡ",
);

/// Characters and their subscripts.
const SUBSCRIPTS: (&str, &str) =
    ("0123456789+-−–‐‑=()aehijklmnoprstuvxβγρφχ", "₀₁₂₃₄₅₆₇₈₉₊₋₋₋₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ");

/// Maximum depth of nested scripts and formulas that are written out; deeper ones are returned as their text. Each is
/// copied into the enclosing one.
const MAX_FORMS: usize = 16;

/// Scripts by their plain characters, and by the script characters themselves.
type Scripts = LazyLock<HashMap<char, char>>;

static SUPER: Scripts = LazyLock::new(|| scripts(SUPERSCRIPTS));
static SUB: Scripts = LazyLock::new(|| scripts(SUBSCRIPTS));

fn scripts((from, to): (&str, &str)) -> HashMap<char, char> {
    // A character that is a script already remains one.
    to.chars().map(|script| (script, script)).chain(from.chars().zip(to.chars())).collect()
}

/// Characters that are raised even without markup.
const RAISED: &str = "®™©°′″*†‡§¶";

impl Script {
    fn of(self, c: char) -> Option<char> {
        work::add(1);
        match self {
            Self::Super if RAISED.contains(c) => Some(c),
            Self::Super => SUPER.get(&c).copied(),
            Self::Sub => SUB.get(&c).copied(),
        }
    }

    fn tag(self) -> &'static str {
        match self {
            Self::Super => "sup",
            Self::Sub => "sub",
        }
    }

    /// Writes an inner text, already in the form, as a script.
    fn write(self, inner: &str, form: TextForm, out: &mut String) {
        if form == TextForm::Html {
            tagged(self.tag(), inner, out);
            return;
        }
        let text = inner.trim();
        let start = inner.len() - inner.trim_start().len();
        out.push_str(&inner[..start]);
        let before = out.len();
        let all_have_one = text.chars().all(|c| self.of(c).map(|script| out.push(script)).is_some());
        if !all_have_one {
            out.truncate(before);
            out.push(if self == Self::Super { '^' } else { '_' });
            if text.chars().nth(1).is_none() {
                out.push_str(text);
            } else {
                out.push('(');
                out.push_str(text);
                out.push(')');
            }
        }
        out.push_str(&inner[start + text.len()..]);
    }
}

fn tagged(tag: &str, inner: &str, out: &mut String) {
    work::add(inner.len());
    for part in ["<", tag, ">", inner, "</", tag, ">"] {
        out.push_str(part);
    }
}

/// The text of all descendants in document order, white space unchanged.
pub fn render(element: Element<'_, '_>, form: TextForm) -> String {
    rendered(element, form, 0)
}

/// The same, inside this many scripts and formulas.
fn rendered(element: Element<'_, '_>, form: TextForm, forms: usize) -> String {
    let mut out = String::new();
    children(element, form, forms, &mut out);
    out
}

/// Recursion is bounded: a tree is never deeper than `split::MAX_DEPTH`.
fn children(element: Element<'_, '_>, form: TextForm, forms: usize, out: &mut String) {
    for child in element.children() {
        work::add(1);
        match child {
            Child::Text(text) => {
                work::add(text.len());
                if form == TextForm::Html {
                    escape_into(text, out);
                } else {
                    out.push_str(text);
                }
            }
            Child::Element(element) => one(element, form, forms, out),
        }
    }
}

fn one(element: Element<'_, '_>, form: TextForm, forms: usize, out: &mut String) {
    // MathML has a prefix or declares its name space; no other element has its names.
    let name = element.name();
    match name.rsplit_once(':').map_or(name, |(_, local)| local) {
        "sup" if forms < MAX_FORMS => Script::Super.write(&rendered(element, form, forms + 1), form, out),
        "sub" if forms < MAX_FORMS => Script::Sub.write(&rendered(element, form, forms + 1), form, out),
        name @ ("i" | "b" | "u") if form == TextForm::Html => {
            out.extend(["<", name, ">"]);
            children(element, form, forms, out);
            out.extend(["</", name, ">"]);
        }
        name if name.starts_with('m') => math(name, element, form, forms, out),
        _ => children(element, form, forms, out),
    }
}

/// Writes an element of MathML: its text, with its layout written out.
fn math(name: &str, element: Element<'_, '_>, form: TextForm, forms: usize, out: &mut String) {
    // Each child is read exactly once, in every form.
    let has_a_form = match name {
        "msup" | "mover" | "msub" | "munder" | "mfrac" | "mroot" => count(element) == 2,
        "msubsup" | "munderover" => count(element) == 3,
        "msqrt" | "mfenced" | "mtr" | "mtable" => count(element) > 0,
        "mspace" => count(element) == 0,
        _ => false,
    };
    if !has_a_form || forms >= MAX_FORMS {
        return children(element, form, forms, out);
    }
    let parts: Vec<String> = element
        .elements()
        .map(|child| {
            let mut part = String::new();
            one(child, form, forms + 1, &mut part);
            work::add(part.len());
            part
        })
        .collect();
    match (name, &parts[..]) {
        ("msup" | "mover", [base, over]) => {
            out.push_str(base);
            over_base(name, over, form, out);
        }
        ("msub" | "munder", [base, under]) => {
            out.push_str(base);
            Script::Sub.write(under, form, out);
        }
        ("msubsup" | "munderover", [base, under, over]) => {
            out.push_str(base);
            Script::Sub.write(under, form, out);
            over_base(name, over, form, out);
        }
        ("mfrac", [above, below]) => {
            grouped(above, out);
            out.push('/');
            grouped(below, out);
        }
        ("msqrt", _) => {
            out.push('√');
            grouped(&parts.concat(), out);
        }
        ("mroot", [base, degree]) => {
            Script::Super.write(degree, form, out);
            out.push('√');
            grouped(base, out);
        }
        ("mfenced", _) => fenced(element, &parts, form, out),
        ("mtr", _) => out.push_str(&parts.join(", ")),
        ("mtable", _) => out.push_str(&parts.join("; ")),
        ("mspace", _) => out.push(' '),
        _ => out.extend(parts),
    }
}

/// Number of child elements; counted up to four.
fn count(element: Element<'_, '_>) -> usize {
    element.elements().take(4).count()
}

/// An accent over a letter is part of the letter, not a superscript.
fn over_base(name: &str, over: &str, form: TextForm, out: &mut String) {
    let mut signs = over.trim().chars();
    match (signs.next(), signs.next()) {
        (Some(sign), None) if name.ends_with("over") && !sign.is_alphanumeric() => out.push(sign),
        _ => Script::Super.write(over, form, out),
    }
}

/// Adds parentheses, unless the text is a single number or name.
fn grouped(text: &str, out: &mut String) {
    if text.chars().all(char::is_alphanumeric) {
        out.push_str(text);
    } else {
        for part in ["(", text, ")"] {
            out.push_str(part);
        }
    }
}

fn fenced(element: Element<'_, '_>, parts: &[String], form: TextForm, out: &mut String) {
    let attribute = |name, default| element.raw_attribute(name).map_or(Cow::Borrowed(default), Clone::clone);
    let separators: Vec<char> = attribute("separators", ",").chars().filter(|c| !c.is_whitespace()).collect();
    out.push_str(&form.escape(attribute("open", "(")));
    for (n, part) in parts.iter().enumerate() {
        if n > 0
            && let Some(separator) = separators.get(n - 1).or(separators.last())
        {
            out.push_str(&form.escape(Cow::Owned(separator.to_string())));
        }
        out.push_str(part);
    }
    out.push_str(&form.escape(attribute("close", ")")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml_tree::Tree;

    fn check(inside: &str, plain: &str, html: &str) {
        let xml = format!("<AbstractText>{inside}</AbstractText>");
        for (form, expect) in [(TextForm::Plain, plain), (TextForm::Html, html)] {
            let tree = Tree::parse_as(&xml, form).expect("well-formed");
            assert_eq!(tree.root().text().as_deref(), Some(expect), "{inside}");
        }
    }

    #[test]
    fn every_script_has_its_character() {
        for (from, to) in [SUPERSCRIPTS, SUBSCRIPTS] {
            assert_eq!(from.chars().count(), to.chars().count());
        }
    }

    #[test]
    fn scripts_are_not_lost_in_plain_text() {
        check("10<sup>-5</sup> M", "10⁻⁵ M", "10<sup>-5</sup> M");
        check("10<sup>&#8722;5</sup>", "10⁻⁵", "10<sup>−5</sup>");
        check("10<sup>-<i>n</i></sup>", "10⁻ⁿ", "10<sup>-<i>n</i></sup>");
        check("H<sub>2</sub>O<sub> 2 </sub>.", "H₂O ₂ .", "H<sub>2</sub>O<sub> 2 </sub>.");
        check("p53<sup>-/-</sup>", "p53^(-/-)", "p53<sup>-/-</sup>");
        check("x<sup>q</sup><sub>b</sub>", "x^q_b", "x<sup>q</sup><sub>b</sub>");
        check("K<sub>D,app</sub>", "K_(D,app)", "K<sub>D,app</sub>");
        check("2<sup>3<sup>4</sup></sup>", "2³⁴", "2<sup>3<sup>4</sup></sup>");
        check("A<sup>®</sup>, 3<sup>rd</sup>", "A®, 3ʳᵈ", "A<sup>®</sup>, 3<sup>rd</sup>");
        check("m<sup>²</sup>", "m²", "m<sup>²</sup>");
        check("a<sup/>b", "ab", "a<sup></sup>b");
    }

    #[test]
    fn html_keeps_five_tags_and_escapes_the_rest() {
        check(
            "<b onclick=\"x()\">A &lt;script&gt; &amp; &quot;<u>B</u>'</b><s id='1'>&amp;lt;</s>",
            "A <script> & \"B'&lt;",
            "<b>A &lt;script&gt; &amp; &quot;<u>B</u>&#39;</b>&amp;lt;",
        );
        let tree = Tree::parse_as("<a Label='&lt;b>&amp;'/>", TextForm::Html).expect("well-formed");
        assert_eq!(tree.root().attribute("Label").as_deref(), Some("&lt;b&gt;&amp;"));
    }

    #[test]
    fn what_is_nested_deeper_than_any_formula_is_its_text() {
        let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(200), close.repeat(200));
        check(&nested("<mml:mrow>", "</mml:mrow>"), "1", "1");
        check(&nested("<mml:msup>", "</mml:msup>"), "1", "1");
        check(&nested("<b>", "</b>"), "1", &nested("<b>", "</b>"));
        let html = format!("{}1{}", "<sup>".repeat(MAX_FORMS), "</sup>".repeat(MAX_FORMS));
        check(&nested("<sup>", "</sup>"), "¹", &html);
    }

    #[test]
    fn formulas_can_be_read() {
        let math = |inside: &str| format!("<mml:math>{inside}</mml:math>");
        let mi = |text: &str| format!("<mml:mi>{text}</mml:mi>");
        let plus = format!("<mml:mrow>{}<mml:mo>+</mml:mo><mml:mn>1</mml:mn></mml:mrow>", mi("x"));
        let row = |kind: &str, inside: &str| math(&format!("<mml:{kind}>{inside}</mml:{kind}>"));
        check("<math xmlns='m'><msup><mi>e</mi><mn>2</mn></msup></math>", "e²", "e<sup>2</sup>");
        check(&row("msup", &(mi("e") + &mi("2"))), "e²", "e<sup>2</sup>");
        check(&row("msubsup", &(mi("x") + &mi("i") + &plus)), "xᵢˣ⁺¹", "x<sub>i</sub><sup>x+1</sup>");
        check(&row("mfrac", &(mi("a") + &plus)), "a/(x+1)", "a/(x+1)");
        check(&row("msqrt", &mi("s")), "√s", "√s");
        check(&row("mroot", &(plus.clone() + &mi("3"))), "³√(x+1)", "<sup>3</sup>√(x+1)");
        check(&row("mover", &(mi("x") + "<mml:mo>¯</mml:mo>")), "x¯", "x¯");
        check(
            &math(&format!("<mml:mfenced open='|' close='&lt;' separators=';'>{}{}</mml:mfenced>", mi("a"), mi("b"))),
            "|a;b<",
            "|a;b&lt;",
        );
        check(&math("<mml:mn>13</mml:mn><mml:mspace/><mml:mtext>TeV</mml:mtext>"), "13 TeV", "13 TeV");
    }
}
