//! Writes a file anew with all its mutants in it, each behind its switch.
//!
//! What belongs to mutant 7 alone stands between `/*<7*/` and `/*7>*/`, what holds the switch of some mutants between
//! `/*{7,8*/` and `/*}*/`, so that an error of the compiler leads back to the mutants it comes from.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::sites::{Kind, Site};

pub struct Writer<'a> {
    pub source: &'a str,
    pub sites: &'a [Site],
    /// The mutants that are left out.
    pub out: &'a BTreeSet<u32>,
}

fn on(number: u32) -> String {
    format!("crate::mutant_switch::on({number})")
}

fn only(number: u32, text: &str) -> String {
    format!("/*<{number}*/ {text} /*{number}>*/")
}

impl Writer<'_> {
    pub fn file(&self) -> String {
        self.text(0..self.source.len(), 0)
    }

    /// The piece of the source, with the sites in it from `index` on.
    fn text(&self, range: Range<usize>, index: usize) -> String {
        let mut text = String::new();
        let mut at = range.start;
        for (index, site) in self.sites.iter().enumerate().skip(index) {
            if site.range.start >= range.end {
                break;
            }
            if site.range.start < at || site.range.end > range.end {
                continue;
            }
            text += &self.source[at..site.range.start];
            text += &self.site(index, site);
            at = site.range.end;
        }
        text + &self.source[at..range.end]
    }

    fn site(&self, index: usize, site: &Site) -> String {
        let mutants: Vec<(u32, &str)> = site
            .mutants
            .iter()
            .filter(|(number, _)| !self.out.contains(number))
            .map(|(number, replacement)| (*number, &**replacement))
            .collect();
        let inner = |range: &Range<usize>| self.text(range.clone(), index + 1);
        if mutants.is_empty() {
            return inner(&site.range);
        }
        let text = match &site.kind {
            Kind::Body => {
                return mutants
                    .iter()
                    .map(|(number, value)| {
                        format!("if {} {{ return {}; }} ", on(*number), only(*number, value))
                    })
                    .collect::<String>()
                    + &inner(&site.range);
            }
            Kind::Scrutinee => inner(&site.range),
            Kind::Guard => {
                let mut text = format!("({})", inner(&site.range));
                for (number, value) in &mutants {
                    text = match *value {
                        "true" => format!("({} || {text})", on(*number)),
                        _ => format!("(!{} && {text})", on(*number)),
                    };
                }
                text
            }
            Kind::Binary { left, right, op } => binary(op, &inner(left), &inner(right), &mutants),
            Kind::Unary { op, operand } => {
                let number = mutants[0].0;
                let (operand, on) = (inner(operand), on(number));
                format!(
                    "(match {operand} {{ operand => if {on} {{ {} }} else {{ {op}operand }} }})",
                    only(number, "operand")
                )
            }
            Kind::Arm { pattern, guard, lets } => {
                let on = on(mutants[0].0);
                let pattern = inner(pattern);
                match guard.as_ref().map(inner) {
                    None => format!("{pattern} if !{on}"),
                    Some(guard) if *lets => format!("{pattern} if !{on} && {guard}"),
                    Some(guard) => format!("{pattern} if !{on} && ({guard})"),
                }
            }
            Kind::Field { name, value, path, base, place } => {
                let number = mutants[0].0;
                let value = value.as_ref().map_or(name.clone(), inner);
                let other = if *place {
                    format!("({base}).{name}")
                } else {
                    format!("{{ let base: {path} = {base}; base.{name} }}")
                };
                format!("{name}: if {} {{ {} }} else {{ {value} }}", on(number), only(number, &other))
            }
        };
        let numbers: Vec<String> = mutants.iter().map(|(number, _)| number.to_string()).collect();
        format!("/*{{{}*/ {text} /*}}*/", numbers.join(","))
    }
}

fn binary(op: &str, left: &str, right: &str, mutants: &[(u32, &str)]) -> String {
    let (number, _) = mutants[0];
    let branches = |left: &str, right: &str| {
        let branch = |(number, op): &(u32, &str)| {
            format!("if {} {{ {} }} else ", on(*number), only(*number, &format!("{left} {op} {right}")))
        };
        mutants.iter().map(branch).collect::<String>() + &format!("{{ {left} {op} {right} }}")
    };
    match op {
        "&&" => format!("(if ({left}) != {0} {{ {right} }} else {{ {0} }})", on(number)),
        "||" => format!("(if ({left}) == {0} {{ {right} }} else {{ !{0} }})", on(number)),
        "==" | "!=" => format!("(({left} {op} {right}) != {})", on(number)),
        "<" | ">" | "<=" | ">=" => {
            format!("(match (&({left}), &({right})) {{ (left, right) => {} }})", branches("*left", "*right"))
        }
        _ if op.ends_with('=') => format!("{{ {} }}", branches(left, right)),
        _ => format!("(match ({left}, {right}) {{ (left, right) => {} }})", branches("left", "right")),
    }
}
