//! `--config FILE`: flags of `up`, `server` and `agent` as keys of a YAML file. A flag on the command
//! line wins.
//!
//! Called by `main` of the command line. The file becomes flags that stand before those that were
//! typed, so there is one definition of each setting, and one parser.

use std::{collections::BTreeMap, ffi::OsString, fs, io, path::Path};

use anyhow::{Context as _, Result};
use clap::{Arg, ArgAction, Command, CommandFactory};
use serde_json::{Map, Value};

use super::{Cli, error::hinted};

/// The file that is read where none is named, in the data directory.
pub(crate) const CONFIG: &str = "config.yaml";

/// The command line with the file's keys in it; `None` where there is no file and none was named.
pub(crate) fn merged(verb: &str, typed: &[OsString], file: &Path, named: bool) -> Result<Option<Vec<OsString>>> {
    let Some(settings) = read(file, named)? else { return Ok(None) };
    let command = Cli::command();
    let defined = command.find_subcommand(verb).with_context(|| format!("the verb `{verb}` is not defined"))?;
    let flags = flags(defined, &settings, file)?;
    let at = place(verb, typed).with_context(|| format!("the verb `{verb}` is not on the command line"))?;
    let (before, after) = typed.split_at(at + 1);
    let flags: Vec<OsString> = flags.into_iter().map(OsString::from).collect();
    Ok(Some([before, &flags, after].concat()))
}

/// One setting of the file, for a verb that is none of those that take them all; `None` where the
/// file or the key is not there.
pub(crate) fn value(file: &Path, key: &str) -> Result<Option<String>> {
    let settings = read(file, false)?.unwrap_or_default();
    let value = settings.get(key).map(plain).transpose();
    value.with_context(|| format!("{}: `{key}`", file.display()))
}

/// The file's settings; `None` where there is no file and none was `named`.
fn read(file: &Path, named: bool) -> Result<Option<Map<String, Value>>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound && !named => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", file.display())),
    };
    let settings: Option<Map<String, Value>> =
        serde_yaml::from_str(&text).with_context(|| format!("{} is no mapping of settings", file.display()))?;
    Ok(Some(settings.unwrap_or_default()))
}

/// Where a verb stands: the first such word that is no value of a flag before it.
fn place(verb: &str, typed: &[OsString]) -> Option<usize> {
    let value = |i: usize| i > 0 && ["--data-dir", "--kubeconfig"].iter().any(|f| typed[i - 1] == *f);
    (1..typed.len()).find(|i| typed[*i] == *verb && !value(*i))
}

fn flags(verb: &Command, settings: &Map<String, Value>, file: &Path) -> Result<Vec<String>> {
    let known: BTreeMap<&str, &Arg> =
        verb.get_arguments().filter_map(|a| Some((a.get_long()?, a))).filter(|(long, _)| *long != "config").collect();
    let mut out = Vec::new();
    for (key, value) in settings {
        let Some(flag) = known.get(key.as_str()) else {
            let message = format!("{}: unknown key `{key}`", file.display());
            let all: Vec<&str> = known.into_keys().collect();
            return Err(hinted(message, format!("one of {}", all.join(", "))));
        };
        for value in each(flag, value) {
            out.push(format!("--{key}={}", plain(&value).with_context(|| format!("{}: `{key}`", file.display()))?));
        }
    }
    Ok(out)
}

/// The values of a flag's key: several where the flag takes no list and is typed again for each.
fn each(flag: &Arg, value: &Value) -> Vec<Value> {
    let again = matches!(flag.get_action(), ArgAction::Append) && flag.get_value_delimiter().is_none();
    match value {
        Value::Array(list) if again => list.clone(),
        Value::Object(map) if again => {
            map.iter().map(|(k, v)| Value::Object([(k.clone(), v.clone())].into_iter().collect())).collect()
        }
        _ => vec![value.clone()],
    }
}

/// A value as it would be typed: lists and mappings with commas.
fn plain(value: &Value) -> Result<String> {
    Ok(match value {
        Value::String(s) => s.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(list) => list.iter().map(plain).collect::<Result<Vec<_>>>()?.join(","),
        Value::Object(map) => {
            let pairs = map.iter().map(|(k, v)| Ok(format!("{k}={}", plain(v)?)));
            pairs.collect::<Result<Vec<_>>>()?.join(",")
        }
        Value::Null => anyhow::bail!("it has no value"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(words: &str) -> Vec<OsString> {
        words.split(' ').map(Into::into).collect()
    }

    #[test]
    fn a_file_stands_before_what_was_typed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(CONFIG);
        assert_eq!(merged("up", &typed("evenkeel up x"), &file, false).unwrap(), None);
        assert!(merged("up", &typed("evenkeel up x"), &file, true).is_err());
        fs::write(&file, "interval: 5s\nself-heal: false\nlabels: {disk: ssd}\n").unwrap();
        let all = merged("up", &typed("evenkeel --data-dir up up x --interval 9s"), &file, false).unwrap().unwrap();
        assert_eq!(
            all,
            typed("evenkeel --data-dir up up --interval=5s --labels=disk=ssd --self-heal=false x --interval 9s")
        );
        assert_eq!(value(&file, "interval").unwrap().as_deref(), Some("5s"));
        assert_eq!(value(&file, "listen").unwrap(), None);
        assert_eq!(value(&dir.path().join("none"), "listen").unwrap(), None);
        fs::write(&file, "oidc-required-claim: {aud2: 'a,b', hd: x}\n").unwrap();
        let all = merged("server", &typed("evenkeel server"), &file, false).unwrap().unwrap();
        let claims = "--oidc-required-claim=aud2=a,b --oidc-required-claim=hd=x";
        assert_eq!(all, typed(&format!("evenkeel server {claims}")));
        fs::write(&file, "intervall: 5s\n").unwrap();
        let error = merged("up", &typed("evenkeel up x"), &file, false).unwrap_err().to_string();
        assert!(error.contains("unknown key `intervall`"), "{error}");
    }
}
