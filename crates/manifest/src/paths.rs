//! Which files of a source are manifests, by name.
//!
//! Called by sources before they read a file, and by `assemble` for the names that stand for a tool.

use std::collections::BTreeSet;

/// Whether a file, relative to the source's root, is read as a manifest: `.yaml`, `.yml`, `.json`,
/// neither hidden nor in a hidden folder. Files of tools that are not supported yet count, so that
/// they are refused and not left out without a word.
pub fn is_manifest_path(path: &str) -> bool {
    let hidden = path.split('/').any(|part| part.starts_with('.') && part != "." && part != "..");
    !hidden && has_extension(path)
}

fn has_extension(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, e)| e);
    extension.is_some_and(|e| ["yaml", "yml", "json"].iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// What to say of a kustomization.
pub(crate) const KUSTOMIZATION: &str = "kustomizations are not supported yet: build it (`kubectl kustomize FOLDER`) and \
     put the result into the source";

/// What to say of a file whose name stands for a tool: it is no manifest, and what lies beside it
/// is meant for the tool.
pub(crate) fn tool_file(path: &str) -> Option<&'static str> {
    match path.rsplit('/').next().unwrap_or(path) {
        "kustomization.yaml" | "kustomization.yml" => Some(KUSTOMIZATION),
        "Chart.yaml" => Some(
            "Helm charts are not supported yet: render it (`helm template NAME FOLDER`) and put the result into the source",
        ),
        _ => None,
    }
}

/// Files that are meant for tools: parts of kustomizations are no whole objects, and those of charts no YAML.
/// What is wrong with them says nothing of what they are made into.
#[derive(Debug, Default)]
pub(crate) struct ToolFolders<'p> {
    /// Folders of kustomizations.
    built: BTreeSet<&'p str>,
    /// Folders of charts, which count with all that is below.
    rendered: BTreeSet<&'p str>,
}

impl<'p> ToolFolders<'p> {
    pub(crate) fn of(paths: impl Iterator<Item = &'p str>) -> Self {
        let mut all = Self::default();
        for path in paths.filter(|p| tool_file(p).is_some()) {
            let folders = if path.ends_with("Chart.yaml") { &mut all.rendered } else { &mut all.built };
            folders.insert(folder(path));
        }
        all
    }

    /// Whether a file lies in one.
    pub(crate) fn hold(&self, path: &str) -> bool {
        let beside = folder(path);
        let mut above = std::iter::successors(Some(beside), |f| (!f.is_empty()).then(|| folder(f)));
        self.built.contains(beside) || above.any(|f| self.rendered.contains(f))
    }
}

/// The folder of a file or folder; empty for the root.
fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_a_tools_file_is_meant_for_the_tool() {
        let folders = ToolFolders::of(["shop/Chart.yaml", "web/kustomization.yaml", "a.yaml"].into_iter());
        for (path, held) in [
            ("shop/values.yaml", true),
            ("shop/templates/a.yaml", true),
            ("web/patch.yaml", true),
            ("web/base/a.yaml", false),
            ("a.yaml", false),
            ("shopping/a.yaml", false),
        ] {
            assert_eq!(folders.hold(path), held, "{path}");
        }
        assert!(ToolFolders::of(std::iter::once("Chart.yaml")).hold("templates/x/a.yaml"));
    }

    #[test]
    fn manifests_are_known_by_their_names() {
        for (path, is) in [
            ("a.yaml", true),
            ("a/b.yml", true),
            ("a/b.JSON", true),
            ("./a.yaml", true),
            (".git/a.yaml", false),
            ("a/.b.yaml", false),
            ("a/.hidden/b.yaml", false),
            (".yaml", false),
            ("README.md", false),
            ("yaml", false),
            ("charts/Chart.yaml", true),
        ] {
            assert_eq!(is_manifest_path(path), is, "{path}");
        }
    }
}
