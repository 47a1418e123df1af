//! Which files of a source are manifests, by name.
//!
//! Called by sources before they read a file, and by `assemble` for the names that stand for a tool.

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

/// What to say of a file whose name stands for a tool: it is no manifest, and what lies beside it
/// is meant for the tool.
pub(crate) fn tool_file(path: &str) -> Option<&'static str> {
    match path.rsplit('/').next().unwrap_or(path) {
        "kustomization.yaml" | "kustomization.yml" => {
            Some("kustomizations are not supported yet: build it and put the result into the source")
        }
        "Chart.yaml" => Some("Helm charts are not supported yet: render it and put the result into the source"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
