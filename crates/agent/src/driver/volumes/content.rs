//! Which files a ConfigMap, Secret, downward API or projected volume holds. Pure.

use std::{collections::BTreeMap, sync::Arc};

use evenkeel_model::Quantity;
use evenkeel_wire::PodContent;
use k8s_openapi::api::core::v1 as core;

use super::{VolumeError, atomic::File, is_component, ownership};
use crate::tokens::Tokens;

/// Mode of files for which the pod says none.
const DEFAULT_MODE: i32 = 0o644;

/// The files of a volume.
#[derive(Default)]
pub(super) struct Files {
    pub(super) by_path: BTreeMap<String, File>,
    /// Whether any of them is a Secret's.
    pub(super) secret: bool,
}

/// The files of a volume; `None` if it is of another type.
pub(super) fn files(
    volume: &core::Volume,
    pod: &core::Pod,
    contents: &[PodContent],
    tokens: &Tokens,
) -> Result<Option<Files>, VolumeError> {
    let mut cx = Cx { volume: &volume.name, pod, contents, tokens, files: Files::default() };
    if let Some(source) = &volume.config_map {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        cx.object(false, &source.name, source.items.as_deref(), mode, source.optional)?;
    } else if let Some(source) = &volume.secret {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let name = source.secret_name.as_deref().unwrap_or_default();
        cx.object(true, name, source.items.as_deref(), mode, source.optional)?;
    } else if let Some(source) = &volume.downward_api {
        cx.downward(source.items.as_deref().unwrap_or_default(), source.default_mode.unwrap_or(DEFAULT_MODE))?;
    } else if let Some(source) = &volume.projected {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        for (index, part) in source.sources.iter().flatten().enumerate() {
            cx.projection(index, part, mode)?;
        }
    } else {
        return Ok(None);
    }
    Ok(Some(cx.files))
}

struct Cx<'a> {
    volume: &'a str,
    pod: &'a core::Pod,
    contents: &'a [PodContent],
    tokens: &'a Tokens,
    files: Files,
}

impl Cx<'_> {
    fn unfit(&self, what: &str) -> VolumeError {
        VolumeError::Unfit(format!("volume `{}`: {what}", self.volume))
    }

    fn projection(&mut self, index: usize, part: &core::VolumeProjection, mode: i32) -> Result<(), VolumeError> {
        if let Some(source) = &part.config_map {
            self.object(false, &source.name, source.items.as_deref(), mode, source.optional)
        } else if let Some(source) = &part.secret {
            self.object(true, &source.name, source.items.as_deref(), mode, source.optional)
        } else if let Some(source) = &part.downward_api {
            self.downward(source.items.as_deref().unwrap_or_default(), mode)
        } else if let Some(source) = &part.service_account_token {
            self.token(index, &source.path, mode)
        } else {
            Err(self.unfit("this kind of projected source is not supported yet"))
        }
    }

    /// The token of a source. Readable for the one who shall use it alone, where the pod says who that is,
    /// as the kubelet does it.
    fn token(&mut self, index: usize, path: &str, mode: i32) -> Result<(), VolumeError> {
        let token = self.tokens.get(&(self.volume.to_owned(), index)).cloned();
        let token = token.ok_or_else(|| self.unfit("its token was not given"))?;
        let user = ownership::user(self.pod);
        let narrow = user.is_some() || ownership::group(self.pod).is_some();
        self.files.secret = true;
        self.add(path, token, if narrow { 0o600 } else { mode })?;
        if let Some(file) = self.files.by_path.get_mut(path) {
            file.owner = user;
        }
        Ok(())
    }

    fn object(
        &mut self,
        secret: bool,
        name: &str,
        items: Option<&[core::KeyToPath]>,
        mode: i32,
        optional: Option<bool>,
    ) -> Result<(), VolumeError> {
        let optional = optional == Some(true);
        let kind = if secret { "secret" } else { "configmap" };
        let Some(found) = self.contents.iter().find(|c| c.secret == secret && &*c.name == name) else {
            return if optional { Ok(()) } else { Err(self.unfit(&format!("{kind} \"{name}\" not found"))) };
        };
        let data = &found.content.data;
        self.files.secret |= secret;
        match items {
            None | Some([]) => {
                for (key, bytes) in data {
                    self.add(key, bytes.clone(), mode)?;
                }
            }
            Some(items) => {
                for item in items {
                    match data.get(&item.key) {
                        Some(bytes) => self.add(&item.path, bytes.clone(), item.mode.unwrap_or(mode))?,
                        None if optional => {}
                        None => {
                            let key = &item.key;
                            return Err(self.unfit(&format!("{kind} \"{name}\" has no key `{key}`")));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn downward(&mut self, items: &[core::DownwardAPIVolumeFile], mode: i32) -> Result<(), VolumeError> {
        for item in items {
            let text = if let Some(field) = &item.field_ref {
                field_text(self.pod, &field.field_path)
                    .ok_or_else(|| self.unfit(&format!("field `{}` is not supported in files", field.field_path)))?
            } else if let Some(resource) = &item.resource_field_ref {
                resource_text(self.pod, resource)
                    .ok_or_else(|| self.unfit(&format!("resource `{}` is not known", resource.resource)))?
            } else {
                return Err(self.unfit("an item names neither a field nor a resource"));
            };
            self.add(&item.path, Arc::from(text.into_bytes()), item.mode.unwrap_or(mode))?;
        }
        Ok(())
    }

    fn add(&mut self, path: &str, bytes: Arc<[u8]>, mode: i32) -> Result<(), VolumeError> {
        // The first component must also not look like the writer's own names.
        if !path.split('/').all(is_component) || path.starts_with("..") {
            return Err(self.unfit(&format!("path `{path}` is not valid")));
        }
        let mode = u32::try_from(mode).unwrap_or(0) & 0o777;
        self.files.by_path.insert(path.to_owned(), File { bytes, mode, owner: None });
        Ok(())
    }
}

/// A field of the pod's metadata as the downward API writes it to files.
fn field_text(pod: &core::Pod, path: &str) -> Option<String> {
    let meta = &pod.metadata;
    let of = |map: &Option<BTreeMap<String, String>>, key: &str| {
        map.as_ref().and_then(|m| m.get(key)).cloned().unwrap_or_default()
    };
    Some(match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        _ => {
            let key = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']");
            if let Some(key) = key("metadata.labels['") {
                of(&meta.labels, key)
            } else {
                of(&meta.annotations, key("metadata.annotations['")?)
            }
        }
    })
}

fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(k, v)| format!("{k}={v:?}")).collect();
    lines.join("\n")
}

fn resource_text(pod: &core::Pod, selector: &core::ResourceFieldSelector) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let name = selector.container_name.as_deref()?;
    let container = spec.containers.iter().chain(spec.init_containers.iter().flatten()).find(|c| c.name == name)?;
    let (which, resource) = selector.resource.split_once('.')?;
    let resources = container.resources.as_ref();
    let map = match which {
        "limits" => resources.and_then(|r| r.limits.as_ref()),
        "requests" => resources.and_then(|r| r.requests.as_ref()),
        _ => return None,
    };
    let value: Quantity = map.and_then(|m| m.get(resource))?.0.parse().ok()?;
    let divisor = selector.divisor.as_ref().and_then(|q| q.0.parse::<Quantity>().ok()).filter(|q| q.0 > 0);
    let divisor = divisor.unwrap_or(Quantity::from_units(1));
    // Rounded up, as the kubelet does.
    Some((value.0.div_euclid(divisor.0) + i128::from(value.0.rem_euclid(divisor.0) != 0)).to_string())
}
