//! The children of two elements: which correspond to which, and their paths.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::same_xml::counts;
use crate::work;
use crate::xml_tree::{Child, Element, Tree};

/// Lists longer than this (the product of both lengths) are compared position by position, and so are all lists once
/// the limit of the caller is used up.
const MAX_CELLS: usize = 4 << 20;

/// Maximum length of a path without its last name; deeper nodes have the path of an enclosing element.
const MAX_PATH_BYTES: usize = 1024;

/// The children of an element that are content.
pub(super) struct Children<'t, 'a> {
    pub(super) all: Vec<Child<'t, 'a>>,
    /// Hash of the XML of each child.
    pub(super) hashes: Vec<u64>,
    /// Number of each child among those with its name, from 1.
    numbers: Vec<usize>,
    counts: HashMap<&'a str, usize>,
}

impl<'t, 'a> Children<'t, 'a> {
    /// `of_elements` are the hashes of all elements of the tree.
    pub(super) fn of(parent: Element<'t, 'a>, of_elements: &[u64]) -> Self {
        let mut children = Self { all: Vec::new(), hashes: Vec::new(), numbers: Vec::new(), counts: HashMap::new() };
        for child in parent.children().filter(|child| counts(parent, child)) {
            let count = children.counts.entry(key(&child)).or_default();
            *count += 1;
            children.numbers.push(*count);
            children.hashes.push(match &child {
                Child::Text(text) => hash(&text),
                Child::Element(element) => of_elements[element.index()],
            });
            children.all.push(child);
        }
        children
    }

    /// The path of a child of an element with a path; `other` are the children in the other payload, in which its name
    /// may occur more than once.
    pub(super) fn path(&self, at: usize, other: &Self, parent: &str) -> String {
        match self.all[at] {
            Child::Text(_) => parent.to_owned(),
            Child::Element(_) if parent.len() > MAX_PATH_BYTES => parent.to_owned(),
            Child::Element(element) => {
                let name = element.name();
                let is_one = self.count(name).max(other.count(name)) == 1;
                let number = if is_one { String::new() } else { format!("[{}]", self.numbers[at]) };
                format!("{parent}/{name}{number}")
            }
        }
    }

    fn count(&self, name: &str) -> usize {
        self.counts.get(name).copied().unwrap_or(0)
    }
}

pub(super) type Step = (Option<usize>, Option<usize>);

/// Pairs the children of two elements: equal ones first, then those of one name between them.
pub(super) fn align(old: &Children<'_, '_>, new: &Children<'_, '_>, cells: &mut usize) -> Vec<Step> {
    let mut steps = Vec::new();
    let (mut a, mut b) = (0, 0);
    let equal = equal_pairs(&old.hashes, &new.hashes, cells);
    for (next_a, next_b) in equal.into_iter().chain([(old.all.len(), new.all.len())]) {
        // Positions of the children of each name between the two pairs.
        let mut places: HashMap<&str, VecDeque<usize>> = HashMap::new();
        if a < next_a {
            work::add(next_b.saturating_sub(b));
            (b..next_b).for_each(|at| places.entry(key(&new.all[at])).or_default().push_back(at));
        }
        while a < next_a {
            work::add(1);
            let same = places.get_mut(key(&old.all[a])).and_then(|places| {
                while places.pop_front_if(|at| *at < b).is_some() {
                    work::add(1);
                }
                places.pop_front()
            });
            steps.extend((b..same.unwrap_or(b)).map(|at| (None, Some(at))));
            b = same.map_or(b, |at| at + 1);
            steps.push((Some(a), same));
            a += 1;
        }
        steps.extend((b..next_b).map(|at| (None, Some(at))));
        if next_a < old.all.len() && next_b < new.all.len() {
            steps.push((Some(next_a), Some(next_b)));
        }
        (a, b) = (next_a + 1, next_b + 1);
    }
    steps
}

/// A longest common subsequence, as pairs of positions.
fn equal_pairs(old: &[u64], new: &[u64], cells: &mut usize) -> Vec<(usize, usize)> {
    let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (rest_old, rest_new) = (&old[start..], &new[start..]);
    let end = rest_old.iter().rev().zip(rest_new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (middle_old, middle_new) = (&rest_old[..rest_old.len() - end], &rest_new[..rest_new.len() - end]);
    let mut pairs: Vec<(usize, usize)> = (0..start).map(|n| (n, n)).collect();
    let (rows, columns) = (middle_old.len(), middle_new.len());
    let of_this = rows.saturating_mul(columns);
    if of_this <= MAX_CELLS.min(*cells) {
        // Not counted as work: `cells` limits all of them.
        *cells -= of_this;
        let mut lengths = vec![0_u32; (rows + 1) * (columns + 1)];
        let at = |row: usize, column: usize| row * (columns + 1) + column;
        for row in (0..rows).rev() {
            for column in (0..columns).rev() {
                lengths[at(row, column)] = if middle_old[row] == middle_new[column] {
                    lengths[at(row + 1, column + 1)] + 1
                } else {
                    lengths[at(row + 1, column)].max(lengths[at(row, column + 1)])
                };
            }
        }
        let (mut row, mut column) = (0, 0);
        while row < rows && column < columns {
            if middle_old[row] == middle_new[column] {
                pairs.push((start + row, start + column));
                (row, column) = (row + 1, column + 1);
            } else if lengths[at(row + 1, column)] >= lengths[at(row, column + 1)] {
                row += 1;
            } else {
                column += 1;
            }
        }
    }
    pairs.extend((0..end).rev().map(|n| (old.len() - 1 - n, new.len() - 1 - n)));
    pairs
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A hash of each element by its index, of its content. Each is computed from those of its children, so that nothing is
/// read twice.
pub(super) fn hashes(tree: &Tree<'_>) -> Vec<u64> {
    let mut all = vec![0; tree.size()];
    hash_element(tree.root(), &mut all);
    all
}

/// Recursion is bounded: a tree is never deeper than `split::MAX_DEPTH`.
fn hash_element(element: Element<'_, '_>, all: &mut [u64]) -> u64 {
    let mut attributes: Vec<_> = element.attributes().iter().collect();
    attributes.sort_unstable();
    let mut hasher = DefaultHasher::new();
    (element.name(), attributes).hash(&mut hasher);
    for child in element.children().filter(|child| counts(element, child)) {
        match child {
            Child::Text(text) => {
                work::add(text.len());
                (true, hash(&text)).hash(&mut hasher);
            }
            Child::Element(child) => {
                work::add(1);
                (false, hash_element(child, all)).hash(&mut hasher);
            }
        }
    }
    all[element.index()] = hasher.finish();
    all[element.index()]
}

/// The name of an element; empty for a text.
fn key<'a>(child: &Child<'_, 'a>) -> &'a str {
    match child {
        Child::Element(element) => element.name(),
        Child::Text(_) => "",
    }
}
