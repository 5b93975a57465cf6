//! INTERACTION: binary interactions from IntAct.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::{Text, join, split_list, within};

/// An interaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Interaction<'a> {
    /// The protein of this entry, or a product of it; absent before 2020.
    pub first: Option<Text<'a>>,
    /// The other protein, such as `P03968` or `PRO_0000008908 [P05230]`; `Self` before 2020.
    pub second: Text<'a>,
    /// The gene of the other one.
    pub gene: Option<Text<'a>>,
    /// Whether the other one is of another organism (`Xeno`).
    pub organisms_differ: bool,
    /// Number of experiments.
    pub experiments: Option<u32>,
    /// Identifiers of both in IntAct.
    pub intact: Vec<Text<'a>>,
}

/// Reads the lines below the topic; one that does not end with a semicolon continues.
pub(super) fn read<'a>(lines: &[&'a str]) -> Vec<Interaction<'a>> {
    let ended = lines.split_inclusive(|line| line.trim_ascii_end().ends_with(';'));
    ended.map(join).filter(|text| !text.is_empty()).map(|text| interaction(&text)).collect()
}

fn interaction<'a>(text: &Text<'a>) -> Interaction<'a> {
    let mut found = Interaction::default();
    let mut proteins = Vec::new();
    for part in text.split(';').map(str::trim_ascii).filter(|part| !part.is_empty()) {
        if let Some(number) = part.strip_prefix("NbExp=") {
            found.experiments = number.parse().ok();
        } else if let Some(ids) = part.strip_prefix("IntAct=") {
            found.intact = split_list(ids).map(|id| within(text, id)).collect();
        } else if part == "Xeno" {
            found.organisms_differ = true;
        } else {
            proteins.push(part);
        }
    }
    let second = proteins.pop().unwrap_or_default();
    let (second, gene) = second.split_once(':').map_or((second, None), |(id, gene)| (id, Some(gene.trim_ascii())));
    found.second = within(text, second);
    found.gene = gene.filter(|gene| !matches!(*gene, "" | "-")).map(|gene| within(text, gene));
    found.first = proteins.first().map(|first| within(text, first));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_and_old_lines_are_read() {
        let found = read(&[
            "    P21802; PRO_0000008908 [P05230]: FGF1; Xeno; NbExp=5; IntAct=EBI-1028658, EBI-6880860;",
            "    P21802-1; P21802-1; NbExp=3; IntAct=EBI-15489960, EBI-15489960;",
            "    P03968:FGF1; NbExp=2; IntAct=EBI-1, EBI-2;",
            "    Self; NbExp=1; IntAct=EBI-1, EBI-1;",
        ]);
        assert_eq!(found.len(), 4);
        assert_eq!((found[0].first.as_deref(), &*found[0].second), (Some("P21802"), "PRO_0000008908 [P05230]"));
        assert_eq!((found[0].gene.as_deref(), found[0].organisms_differ), (Some("FGF1"), true));
        assert_eq!((found[0].experiments, found[0].intact.len()), (Some(5), 2));
        assert_eq!((&*found[1].second, &found[1].gene), ("P21802-1", &None));
        assert_eq!((&found[2].first, &*found[2].second), (&None, "P03968"));
        assert_eq!(found[3].second, "Self");
    }
}
