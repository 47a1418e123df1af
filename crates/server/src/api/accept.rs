//! What form of answer a request asks for, from its `Accept` header.

use axum::http::{HeaderMap, header};

use super::status::Failure;

/// The form of an answer with objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The objects themselves.
    Objects,
    /// Rows for a terminal, `meta.k8s.io/v1`.
    Table,
    /// Metadata alone.
    Metadata,
}

/// The first form among the accepted ones that can be given. Without the header: the objects.
pub(crate) fn form(headers: &HeaderMap) -> Result<Form, Failure> {
    let mut asked = false;
    for range in ranges(headers) {
        asked = true;
        if !range.media_type_fits() {
            continue;
        }
        match (range.parameter("as"), range.parameter("g"), range.parameter("v")) {
            (None, ..) => return Ok(Form::Objects),
            (Some("Table"), Some("meta.k8s.io"), Some("v1")) => return Ok(Form::Table),
            (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("meta.k8s.io"), Some("v1")) => {
                return Ok(Form::Metadata);
            }
            _ => {}
        }
    }
    if asked {
        let message = "only the following media types are accepted: application/json";
        return Err(Failure::new(406, "NotAcceptable", message));
    }
    Ok(Form::Objects)
}

/// Refuses who takes neither JSON nor one of `others`, before anything is done.
pub(crate) fn check(headers: &HeaderMap, others: &[&str]) -> Result<(), Failure> {
    let ranges = ranges(headers);
    if ranges.is_empty() || ranges.iter().any(|r| r.media_type_fits() || others.contains(&r.media_type)) {
        return Ok(());
    }
    let known = [&["application/json"], others].concat().join(", ");
    Err(Failure::new(406, "NotAcceptable", format!("only the following media types are accepted: {known}")))
}

/// Whether aggregated discovery, version 2, is preferred to the classic form.
pub(crate) fn aggregated(headers: &HeaderMap) -> bool {
    ranges(headers)
        .into_iter()
        .find(Range::media_type_fits_discovery)
        .is_some_and(|r| r.parameter("as") == Some("APIGroupDiscoveryList"))
}

/// Protobuf of the OpenAPI v2 document. Clients ask for it with an `@` before the version as well.
pub(crate) const OPENAPI_V2: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// A form of the OpenAPI v2 document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenApi {
    /// JSON.
    Json,
    /// The messages of gnostic.
    Protobuf,
}

/// The first form of the OpenAPI v2 document that is accepted. Without the header: JSON.
pub(crate) fn openapi_v2(headers: &HeaderMap) -> Result<OpenApi, Failure> {
    let ranges = ranges(headers);
    let form = |range: &Range<'_>| match range.media_type.replace('@', ".").as_str() {
        OPENAPI_V2 => Some(OpenApi::Protobuf),
        _ => range.media_type_fits().then_some(OpenApi::Json),
    };
    if ranges.is_empty() {
        return Ok(OpenApi::Json);
    }
    ranges.iter().find_map(form).ok_or_else(|| {
        let message = format!("only the following media types are accepted: application/json, {OPENAPI_V2}");
        Failure::new(406, "NotAcceptable", message)
    })
}

struct Range<'a> {
    media_type: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl Range<'_> {
    fn media_type_fits(&self) -> bool {
        matches!(self.media_type, "application/json" | "application/*" | "*/*")
    }

    fn media_type_fits_discovery(&self) -> bool {
        self.media_type_fits() && matches!(self.parameter("v"), None | Some("v2"))
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(k, _)| *k == name).map(|(_, v)| *v)
    }
}

fn ranges(headers: &HeaderMap) -> Vec<Range<'_>> {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            let parameters = parts.filter_map(|p| p.split_once('=')).collect();
            Range { media_type, parameters }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())])
    }

    #[test]
    fn the_first_form_that_can_be_given_is_taken() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(form(&headers(table)), Ok(Form::Table));
        assert_eq!(
            form(&headers("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json")),
            Ok(Form::Objects)
        );
        assert_eq!(form(&headers("application/vnd.kubernetes.protobuf,application/json")), Ok(Form::Objects));
        assert_eq!(form(&HeaderMap::new()), Ok(Form::Objects));
        assert_eq!(form(&headers("application/vnd.kubernetes.protobuf")).unwrap_err().code, 406);
        let agg = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert!(aggregated(&headers(agg)));
        let gnostic = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
        assert_eq!(openapi_v2(&headers(gnostic)), Ok(OpenApi::Protobuf));
        assert_eq!(openapi_v2(&headers(OPENAPI_V2)), Ok(OpenApi::Protobuf));
        assert_eq!(openapi_v2(&headers("application/json, */*")), Ok(OpenApi::Json));
        assert_eq!(openapi_v2(&HeaderMap::new()), Ok(OpenApi::Json));
        assert_eq!(openapi_v2(&headers("text/html")).unwrap_err().code, 406);
        assert!(!aggregated(&headers("application/json")));
    }
}
