//! Keywords (KW).

use crate::text::{Attribution, Text, attributed, split_lines};

/// Reads the KW lines; evidence is added to `evidence` under the keyword.
pub(crate) fn keywords<'a>(lines: &[&'a str], all: &mut Vec<Text<'a>>, evidence: &mut Vec<Attribution<'a>>) {
    for keyword in split_lines(lines, ';', '.') {
        all.push(attributed(&keyword, evidence));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_and_their_evidence_are_read() {
        let (mut found, mut evidence) = (Vec::new(), Vec::new());
        let lines = ["3D-structure; Li-Fraumeni syndrome; DNA-", "binding; Zinc {ECO:1,", "ECO:2}."];
        keywords(&lines, &mut found, &mut evidence);
        assert_eq!(found, ["3D-structure", "Li-Fraumeni syndrome", "DNA-binding", "Zinc"]);
        assert_eq!((&*evidence[0].value, evidence[0].evidence.len()), ("Zinc", 2));
    }
}
