//! Images: present, pulled, loaded, removed; the sandbox's own.

use std::time::Duration;

use bollard::{auth::DockerCredentials, body_full, query_parameters as query};
use bytes::Bytes;
use futures_util::StreamExt as _;

use super::{Docker, READ_TIMEOUT, WRITE_TIMEOUT, classify, convert};
use crate::{ImageInfo, PullFailure, RegistryAuth, Result, RuntimeError, sandbox};

/// A pull of which nothing was heard for so long has lost its registry. The engine itself gives up
/// on dead connections sooner, but not on a registry that trickles.
const PULL_SILENCE: Duration = Duration::from_mins(5);

impl Docker {
    pub(super) async fn sandbox_image(&self) -> Result<String> {
        let image = sandbox::image(std::env::consts::ARCH)?;
        if let Some(id) = self.sandbox_image_id(image).await? {
            return Ok(id);
        }
        self.load(Bytes::from(sandbox::docker_archive(image)?)).await?;
        self.sandbox_image_id(image).await?.ok_or_else(|| RuntimeError::Other {
            message: format!("the engine took the sandbox image but does not have `{}`", image.tag),
        })
    }

    /// The image's id, if it is the very one: a tag can be moved by hand, its layers' digests
    /// cannot. (The id itself differs between the engine's two image stores.)
    async fn sandbox_image_id(&self, image: &sandbox::Image) -> Result<Option<String>> {
        let request = self.client()?.inspect_image(&image.tag);
        match Self::within("inspect image", READ_TIMEOUT, request).await?.map_err(classify::general) {
            Ok(found) => {
                let layers = found.root_fs.and_then(|fs| fs.layers).unwrap_or_default();
                let ours = layers == [format!("sha256:{}", image.layer_digest)];
                Ok(found.id.filter(|_| ours))
            }
            Err(RuntimeError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn inspect_image(&self, reference: String) -> Result<Option<ImageInfo>> {
        let request = self.client()?.inspect_image(&reference);
        match Self::within("inspect image", READ_TIMEOUT, request).await?.map_err(classify::general) {
            Ok(found) => Ok(Some(convert::image_info(found))),
            Err(RuntimeError::NotFound { .. }) => Ok(None),
            Err(RuntimeError::Other { message }) if message.contains("invalid reference") => {
                Err(RuntimeError::Pull { image: reference, failure: PullFailure::InvalidReference, message })
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn list_images(&self) -> Result<Vec<ImageInfo>> {
        let options = query::ListImagesOptionsBuilder::new().digests(true).build();
        let request = self.client()?.list_images(Some(options));
        let images = Self::within("list images", READ_TIMEOUT, request).await?.map_err(classify::general)?;
        Ok(images.into_iter().map(convert::image_summary).collect())
    }

    pub(super) async fn pull_image(&self, reference: String, auth: Option<RegistryAuth>) -> Result<ImageInfo> {
        let reference = with_tag(&reference);
        let options = query::CreateImageOptionsBuilder::new().from_image(&reference).build();
        let client = self.client()?.clone().with_timeout(PULL_SILENCE);
        let mut progress = client.create_image(Some(options), None, auth.map(credentials)).boxed();
        loop {
            match tokio::time::timeout(PULL_SILENCE, progress.next()).await {
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(error))) => return Err(classify::pull(error, &reference)),
                Ok(None) => break,
                Err(_) => {
                    let message = format!("nothing was heard from the registry for {} s", PULL_SILENCE.as_secs());
                    let failure = PullFailure::RegistryUnreachable;
                    return Err(RuntimeError::Pull { image: reference, failure, message });
                }
            }
        }
        self.inspect_image(reference.clone()).await?.ok_or_else(|| RuntimeError::Pull {
            image: reference,
            failure: PullFailure::Other,
            message: "the engine ended the pull and does not have the image".into(),
        })
    }

    /// An image with several tags can only be removed tag by tag.
    pub(super) async fn delete_image(&self, id: String) -> Result<()> {
        let Some(image) = self.inspect_image(id.clone()).await? else { return Ok(()) };
        let many = image.tags.len() > 1;
        for name in image.tags.iter().filter(|_| many).chain(std::iter::once(&id)) {
            let request = self.client()?.remove_image(name, None::<query::RemoveImageOptions>, None);
            match Self::within("remove image", WRITE_TIMEOUT, request).await?.map_err(classify::general) {
                Ok(_) | Err(RuntimeError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) async fn load(&self, tar: Bytes) -> Result<()> {
        let options = query::ImportImageOptionsBuilder::new().quiet(true).build();
        let mut progress = self.client()?.import_image(options, body_full(tar), None).boxed();
        let drain = async {
            while let Some(piece) = progress.next().await {
                piece?;
            }
            Ok(())
        };
        Self::within("load images", WRITE_TIMEOUT, drain).await?.map_err(classify::general)
    }
}

/// Without a tag the engine would pull all tags of a repository.
fn with_tag(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if reference.contains('@') || last.contains(':') { reference.to_owned() } else { format!("{reference}:latest") }
}

fn credentials(auth: RegistryAuth) -> DockerCredentials {
    let some = |s: String| (!s.is_empty()).then_some(s);
    DockerCredentials {
        username: some(auth.username),
        password: some(auth.password),
        identitytoken: some(auth.identity_token),
        serveraddress: some(auth.server),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_always_names_one_image() {
        assert_eq!(with_tag("web"), "web:latest");
        assert_eq!(with_tag("r.test:5000/web"), "r.test:5000/web:latest");
        assert_eq!(with_tag("r.test:5000/web:1"), "r.test:5000/web:1");
        assert_eq!(with_tag("web@sha256:abc"), "web@sha256:abc");
    }
}
