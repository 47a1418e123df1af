//! All files of a revision together: one snapshot, or every complaint.
//!
//! Called by sources once all files are parsed.

use std::{collections::BTreeMap, sync::Arc};

use evenkeel_model::{Diagnostic, Doc, Key, Kind, Place, Severity, Snapshot};
use evenkeel_schema::{Customs, custom::Definition};

use crate::{
    file::{FileParse, parse_again},
    paths::{ToolFolders, tool_file},
};

/// Puts the files of a revision together: documents in the order of their keys, no key twice. `known` are
/// the custom kinds that the cluster has; those that the revision defines itself go before them.
///
/// # Errors
/// Every complaint of every file, warnings included, in the order of files and places, where at
/// least one is an error.
pub fn assemble(files: &[Arc<FileParse>], known: &Customs) -> Result<Snapshot, Vec<Diagnostic>> {
    let again = read_again(files, known);
    let mut order: Vec<&FileParse> = files.iter().map(|f| again.get(&f.path).unwrap_or(f)).collect();
    order.sort_by(|a, b| a.path.cmp(&b.path));
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    let mut docs: BTreeMap<&Key, &Arc<Doc>> = BTreeMap::new();
    let mut skipped = Vec::new();
    let tools = ToolFolders::of(files.iter().map(|f| &*f.path));
    for file in order {
        if let Some(message) = tool_file(&file.path) {
            let place = Place { file: file.path.clone(), ..Place::default() };
            diagnostics.push(error(place, "", message.into()));
            continue;
        }
        if tools.hold(&file.path) {
            continue;
        }
        diagnostics.extend(file.diagnostics.iter().cloned());
        skipped.extend(file.skipped.iter().map(|s| format!("{}:{}: {}", file.path, s.line, s.what)));
        for (doc, name) in file.docs.iter().zip(&file.names) {
            if let Some(first) = docs.get(&doc.key) {
                let message = format!("duplicate object {}, first at {}", doc.key, first.place);
                let place = Place { file: file.path.clone(), line: name.line, column: name.column };
                let (excerpt, width) = (name.excerpt.clone(), name.width);
                diagnostics.push(Diagnostic { excerpt, width, ..error(place, "metadata.name", message) });
            } else {
                docs.insert(&doc.key, doc);
            }
        }
    }
    diagnostics.extend(made_from_pods(&docs));
    // Stable, so that complaints of one place stay in the order in which they were made.
    diagnostics.sort_by(|a, b| a.place.cmp(&b.place));
    if diagnostics.iter().any(|d| d.severity == Severity::Error) {
        return Err(diagnostics);
    }
    Ok(Snapshot { docs: docs.into_values().cloned().collect(), warnings: diagnostics, skipped })
}

/// Endpoints of Services whose Endpoints follow their pods: two would write the same object.
fn made_from_pods<'d>(docs: &'d BTreeMap<&Key, &Arc<Doc>>) -> impl Iterator<Item = Diagnostic> + 'd {
    let selects = |key: &Key| {
        let service = docs.get(&key.sibling(Kind::Service, key.name.clone()));
        service.is_some_and(|s| s.value["spec"]["selector"].as_object().is_some_and(|labels| !labels.is_empty()))
    };
    let those = docs.values().filter(move |doc| doc.key.kind == Kind::Endpoints && selects(&doc.key));
    those.map(|doc| {
        let message =
            "the Service of this name has a selector, so its Endpoints are made from its pods: take one of both out";
        error(doc.place.clone(), "metadata.name", message.into())
    })
}

/// The files with objects whose kinds definitions make, read with those of the revision and, where it has
/// none of a kind, with those that are known.
fn read_again(files: &[Arc<FileParse>], known: &Customs) -> BTreeMap<Arc<str>, FileParse> {
    if files.iter().all(|f| f.waiting.is_none()) {
        return BTreeMap::new();
    }
    let mut own = Customs::default();
    let docs = files.iter().flat_map(|f| &f.docs).filter(|d| d.key.kind == Kind::CustomResourceDefinition);
    for definition in docs.filter_map(|d| Definition::read(&d.value["spec"], false)) {
        own.insert(definition);
    }
    let customs = own.over(known);
    let waiting = files.iter().filter_map(|f| f.waiting.as_ref().map(|(text, options)| (f, text, *options)));
    waiting.map(|(f, text, options)| (f.path.clone(), parse_again(&f.path, text, options, &customs))).collect()
}

fn error(place: Place, path: &str, message: String) -> Diagnostic {
    let (path, excerpt) = (path.into(), String::new());
    Diagnostic { place, path, message, excerpt, width: 1, severity: Severity::Error }
}
