//! Finds the expressions that the mutants of one file change.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Arm, BinOp, Block, Expr, ExprBinary, ExprMatch, ExprStruct, ExprUnary, Member};

use crate::list::{Mutant, Place};

/// A piece of the file that holds one or more mutants.
pub struct Site {
    pub range: Range<usize>,
    pub kind: Kind,
    /// Number and replacement of each.
    pub mutants: Vec<(u32, String)>,
}

pub enum Kind {
    /// The statements of a function.
    Body,
    /// The guard of an arm, that makes way for `true` or `false`.
    Guard,
    /// An operator between two operands.
    Binary { left: Range<usize>, right: Range<usize>, op: String },
    /// `!` or `-`.
    Unary { op: String, operand: Range<usize> },
    /// The pattern of an arm that is deleted, and its guard.
    Arm { pattern: Range<usize>, guard: Option<Range<usize>>, lets: bool },
    /// What a `match` looks at, where the compiler says that an arm may not have a guard more.
    Scrutinee,
    /// A field that is deleted, so that it comes from the base.
    Field { name: String, value: Option<Range<usize>>, path: String, base: String, place: bool },
}

/// What a file holds.
pub struct Found {
    /// Outer ones before inner ones.
    pub sites: Vec<Site>,
    /// `&&` in a condition with `let`: `||` cannot stand there.
    pub unviable: Vec<u32>,
    /// The mutants that no site was found for, and those in what the compiler evaluates.
    pub left: Vec<u32>,
    /// Those in a `const fn`, which the compiler may evaluate too.
    pub in_const_fn: Vec<u32>,
}

pub fn find(source: &str, mutants: &[&Mutant]) -> Found {
    let file = syn::parse_file(source).expect("the file parses");
    let mut by_place: HashMap<(&str, Place), Vec<&Mutant>> = HashMap::new();
    for mutant in mutants {
        by_place.entry((&mutant.genre, mutant.start)).or_default().push(mutant);
    }
    let opaque = mutants
        .iter()
        .filter(|mutant| mutant.returns.contains("impl "))
        .map(|mutant| mutant.number)
        .collect();
    let mut finder = Finder { source, by_place, opaque, ..Finder::default() };
    finder.visit_file(&file);
    let Finder { mut sites, lets, const_items, const_fns, .. } = finder;
    let within = |ranges: &[Range<usize>], site: &Site| {
        ranges.iter().any(|range| range.start <= site.range.start && site.range.end <= range.end)
    };
    let numbers = |site: &Site| site.mutants.iter().map(|(number, _)| *number).collect::<Vec<_>>();
    sites.retain(|site| !within(&const_items, site));
    let (chained, mut sites): (Vec<Site>, Vec<Site>) = sites
        .into_iter()
        .partition(|site| matches!(site.kind, Kind::Binary { .. }) && lets.contains(&site.range));
    sites.sort_by_key(|site| {
        let rank = match site.kind {
            Kind::Body => 0,
            Kind::Guard | Kind::Scrutinee => 1,
            _ => 2,
        };
        (site.range.start, usize::MAX - site.range.end, rank)
    });
    let unviable: Vec<u32> = chained.iter().flat_map(numbers).collect();
    let in_const_fn = sites.iter().filter(|site| within(&const_fns, site)).flat_map(numbers).collect();
    let known: HashSet<u32> = sites.iter().flat_map(numbers).chain(unviable.iter().copied()).collect();
    let left = mutants.iter().map(|mutant| mutant.number).filter(|number| !known.contains(number)).collect();
    Found { sites, unviable, left, in_const_fn }
}

#[derive(Default)]
struct Finder<'a> {
    source: &'a str,
    by_place: HashMap<(&'a str, Place), Vec<&'a Mutant>>,
    /// Values of functions that return `impl Trait`.
    opaque: HashSet<u32>,
    sites: Vec<Site>,
    /// The `&&` of conditions with `let`.
    lets: HashSet<Range<usize>>,
    const_items: Vec<Range<usize>>,
    const_fns: Vec<Range<usize>>,
}

fn place(span: Span) -> Place {
    (span.start().line, span.start().column + 1)
}

impl Finder<'_> {
    fn at(&self, genre: &str, span: Span) -> Vec<(u32, String)> {
        let mutants = self.by_place.get(&(genre, place(span)));
        mutants.into_iter().flatten().map(|mutant| (mutant.number, mutant.replacement.clone())).collect()
    }

    fn add(&mut self, range: Range<usize>, kind: Kind, mutants: Vec<(u32, String)>) {
        if !mutants.is_empty() {
            self.sites.push(Site { range, kind, mutants });
        }
    }

    fn body(&mut self, block: &Block, constness: bool) {
        let range = block.span().byte_range();
        if constness {
            self.const_fns.push(range.clone());
        }
        if let Some(first) = block.stmts.first() {
            let start = first.span().byte_range().start;
            let mut mutants = self.at("FnValue", first.span());
            // Of a function that returns `impl Trait`, all `return`s are of one type.
            mutants.retain(|(number, _)| !self.opaque.contains(number));
            self.add(start..range.end - 1, Kind::Body, mutants);
        }
    }
}

/// Whether a `let` stands in the chain of `&&` that `expr` is.
fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(ExprBinary { left, op: BinOp::And(_), right, .. }) => has_let(left) || has_let(right),
        _ => false,
    }
}

/// Whether a field can be read from `expr` without making a value of it.
fn is_place(expr: &Expr) -> bool {
    match expr {
        Expr::Path(_) => true,
        Expr::Field(field) => is_place(&field.base),
        Expr::Unary(ExprUnary { op: syn::UnOp::Deref(_), expr, .. }) => is_place(expr),
        Expr::Paren(paren) => is_place(&paren.expr),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.body(&item.block, item.sig.constness.is_some());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.body(&item.block, item.sig.constness.is_some());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.body(block, false);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.const_items.push(item.span().byte_range());
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.const_items.push(item.span().byte_range());
    }

    fn visit_trait_item_const(&mut self, item: &'ast syn::TraitItemConst) {
        self.const_items.push(item.span().byte_range());
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.const_items.push(item.span().byte_range());
    }

    fn visit_type(&mut self, item: &'ast syn::Type) {
        self.const_items.push(item.span().byte_range());
    }

    fn visit_expr_const(&mut self, item: &'ast syn::ExprConst) {
        self.const_items.push(item.span().byte_range());
    }

    fn visit_expr_binary(&mut self, expr: &'ast ExprBinary) {
        let range = expr.span().byte_range();
        if matches!(expr.op, BinOp::And(_))
            && (self.lets.contains(&range) || has_let(&expr.left) || has_let(&expr.right))
        {
            // The whole chain: its inner parts are on the left.
            let mut link = expr;
            loop {
                self.lets.insert(link.span().byte_range());
                match &*link.left {
                    Expr::Binary(inner) if matches!(inner.op, BinOp::And(_)) => link = inner,
                    _ => break,
                }
            }
        }
        let kind = Kind::Binary {
            left: expr.left.span().byte_range(),
            right: expr.right.span().byte_range(),
            op: self.source[expr.op.span().byte_range()].to_owned(),
        };
        let mutants = self.at("BinaryOperator", expr.op.span());
        self.add(range, kind, mutants);
        visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_unary(&mut self, expr: &'ast ExprUnary) {
        let op = expr.op.span();
        let kind = Kind::Unary {
            op: self.source[op.byte_range()].to_owned(),
            operand: expr.expr.span().byte_range(),
        };
        let mutants = self.at("UnaryOperator", op);
        self.add(expr.span().byte_range(), kind, mutants);
        visit::visit_expr_unary(self, expr);
    }

    fn visit_expr_match(&mut self, expr: &'ast ExprMatch) {
        let mutants = expr.arms.iter().flat_map(|arm| self.at("MatchArm", arm.span())).collect();
        self.add(expr.expr.span().byte_range(), Kind::Scrutinee, mutants);
        visit::visit_expr_match(self, expr);
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        let pattern = arm.pat.span().byte_range();
        let guard = arm.guard.as_ref().map(|(_, guard)| guard.span().byte_range());
        let lets = arm.guard.as_ref().is_some_and(|(_, guard)| has_let(guard));
        if let (Some(range), false) = (&guard, lets) {
            let mutants = self.at("MatchArmGuard", arm.guard.as_ref().expect("a guard").1.span());
            self.add(range.clone(), Kind::Guard, mutants);
        }
        let mutants = self.at("MatchArm", arm.span());
        let range = pattern.start..guard.as_ref().unwrap_or(&pattern).end;
        self.add(range, Kind::Arm { pattern, guard, lets }, mutants);
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, expr: &'ast ExprStruct) {
        if let Some(rest) = &expr.rest {
            let text = |span: Span| self.source[span.byte_range()].to_owned();
            let (path, base) = (text(expr.path.span()), text(rest.span()));
            for field in &expr.fields {
                let Member::Named(name) = &field.member else { continue };
                let kind = Kind::Field {
                    name: name.to_string(),
                    value: field.colon_token.as_ref().map(|_| field.expr.span().byte_range()),
                    path: path.clone(),
                    base: base.clone(),
                    place: is_place(rest),
                };
                let mutants = self.at("StructField", field.span());
                self.add(field.span().byte_range(), kind, mutants);
            }
        }
        visit::visit_expr_struct(self, expr);
    }
}
