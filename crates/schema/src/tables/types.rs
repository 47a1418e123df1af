//! Definitions and their fields, made by `examples/generate.rs` from the tables under `data/`: do not edit.
#![allow(clippy::all, clippy::pedantic)]

use crate::types::{Field, ListType, Literal, Object, Patch, Support, Type::{self, *}};

const F: Field = Field::PLAIN;

pub(crate) static APIEXTENSIONS_V1_CUSTOM_RESOURCE_COLUMN_DEFINITION: Object = Object { name: "apiextensions.v1.CustomResourceColumnDefinition", atomic: false, fields: &[
    Field { name: "description", ty: String, numbers: &[4], ..F },
    Field { name: "format", ty: String, numbers: &[3], ..F },
    Field { name: "jsonPath", ty: String, required: true, numbers: &[6], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "priority", ty: Int32, numbers: &[5], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_CUSTOM_RESOURCE_CONVERSION: Object = Object { name: "apiextensions.v1.CustomResourceConversion", atomic: false, fields: &[
    Field { name: "strategy", ty: String, required: true, default: Some(Literal::Str("None")), support: Support::Refused { accepted: &["None"], note: "objects are shown in another version as they are" }, numbers: &[1], ..F },
    Field { name: "webhook", ty: Object(&APIEXTENSIONS_V1_WEBHOOK_CONVERSION), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION: Object = Object { name: "apiextensions.v1.CustomResourceDefinition", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_SPEC), required: true, numbers: &[2], ..F },
    Field { name: "status", ty: Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_STATUS), support: Support::Dropped, numbers: &[3], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_CONDITION: Object = Object { name: "apiextensions.v1.CustomResourceDefinitionCondition", atomic: false, fields: &[
    Field { name: "lastTransitionTime", ty: Time, numbers: &[3], ..F },
    Field { name: "message", ty: String, numbers: &[5], ..F },
    Field { name: "observedGeneration", ty: Int64, numbers: &[6], ..F },
    Field { name: "reason", ty: String, numbers: &[4], ..F },
    Field { name: "status", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_NAMES: Object = Object { name: "apiextensions.v1.CustomResourceDefinitionNames", atomic: false, fields: &[
    Field { name: "categories", ty: List(&String), numbers: &[6], ..F },
    Field { name: "kind", ty: String, required: true, numbers: &[4], ..F },
    Field { name: "listKind", ty: String, numbers: &[5], ..F },
    Field { name: "plural", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "shortNames", ty: List(&String), numbers: &[3], ..F },
    Field { name: "singular", ty: String, numbers: &[2], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_SPEC: Object = Object { name: "apiextensions.v1.CustomResourceDefinitionSpec", atomic: false, fields: &[
    Field { name: "conversion", ty: Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_CONVERSION), default: Some(Literal::Empty), numbers: &[9], ..F },
    Field { name: "group", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "names", ty: Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_NAMES), required: true, numbers: &[3], ..F },
    Field { name: "preserveUnknownFields", ty: Bool, support: Support::Refused { accepted: &["false"], note: "unknown fields are pruned; say x-kubernetes-preserve-unknown-fields in the schema" }, numbers: &[10], ..F },
    Field { name: "scope", ty: String, required: true, numbers: &[4], ..F },
    Field { name: "versions", ty: List(&Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_VERSION)), required: true, numbers: &[7], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_STATUS: Object = Object { name: "apiextensions.v1.CustomResourceDefinitionStatus", atomic: false, fields: &[
    Field { name: "acceptedNames", ty: Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_NAMES), numbers: &[2], ..F },
    Field { name: "conditions", ty: List(&Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_CONDITION)), list: ListType::Map(&["type"]), numbers: &[1], ..F },
    Field { name: "observedGeneration", ty: Int64, numbers: &[4], ..F },
    Field { name: "storedVersions", ty: List(&String), numbers: &[3], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_VERSION: Object = Object { name: "apiextensions.v1.CustomResourceDefinitionVersion", atomic: false, fields: &[
    Field { name: "additionalPrinterColumns", ty: List(&Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_COLUMN_DEFINITION)), numbers: &[6], ..F },
    Field { name: "deprecated", ty: Bool, numbers: &[7], ..F },
    Field { name: "deprecationWarning", ty: String, numbers: &[8], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "schema", ty: Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_VALIDATION), numbers: &[4], ..F },
    Field { name: "selectableFields", ty: List(&Object(&APIEXTENSIONS_V1_SELECTABLE_FIELD)), numbers: &[9], ..F },
    Field { name: "served", ty: Bool, required: true, numbers: &[2], ..F },
    Field { name: "storage", ty: Bool, required: true, numbers: &[3], ..F },
    Field { name: "subresources", ty: Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_SUBRESOURCES), numbers: &[5], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_CUSTOM_RESOURCE_SUBRESOURCE_SCALE: Object = Object { name: "apiextensions.v1.CustomResourceSubresourceScale", atomic: false, fields: &[
    Field { name: "labelSelectorPath", ty: String, numbers: &[3], ..F },
    Field { name: "specReplicasPath", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "statusReplicasPath", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_CUSTOM_RESOURCE_SUBRESOURCES: Object = Object { name: "apiextensions.v1.CustomResourceSubresources", atomic: false, fields: &[
    Field { name: "scale", ty: Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_SUBRESOURCE_SCALE), numbers: &[2], ..F },
    Field { name: "status", ty: Any, numbers: &[1], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_CUSTOM_RESOURCE_VALIDATION: Object = Object { name: "apiextensions.v1.CustomResourceValidation", atomic: false, fields: &[
    Field { name: "openAPIV3Schema", ty: Object(&APIEXTENSIONS_V1_JSONSCHEMA_PROPS), numbers: &[1], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_EXTERNAL_DOCUMENTATION: Object = Object { name: "apiextensions.v1.ExternalDocumentation", atomic: false, fields: &[
    Field { name: "description", ty: String, numbers: &[1], ..F },
    Field { name: "url", ty: String, numbers: &[2], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_JSONSCHEMA_PROPS: Object = Object { name: "apiextensions.v1.JSONSchemaProps", atomic: false, fields: &[
    Field { name: "$ref", ty: String, numbers: &[3], ..F },
    Field { name: "$schema", ty: String, numbers: &[2], ..F },
    Field { name: "additionalItems", ty: Any, numbers: &[33], ..F },
    Field { name: "additionalProperties", ty: Any, numbers: &[30], ..F },
    Field { name: "allOf", ty: List(&Object(&APIEXTENSIONS_V1_JSONSCHEMA_PROPS)), numbers: &[25], ..F },
    Field { name: "anyOf", ty: List(&Object(&APIEXTENSIONS_V1_JSONSCHEMA_PROPS)), numbers: &[27], ..F },
    Field { name: "default", ty: Any, numbers: &[8], ..F },
    Field { name: "definitions", ty: Map(&Object(&APIEXTENSIONS_V1_JSONSCHEMA_PROPS)), numbers: &[34], ..F },
    Field { name: "dependencies", ty: Map(&Any), numbers: &[32], ..F },
    Field { name: "description", ty: String, numbers: &[4], ..F },
    Field { name: "enum", ty: List(&Any), numbers: &[20], ..F },
    Field { name: "example", ty: Any, numbers: &[36], ..F },
    Field { name: "exclusiveMaximum", ty: Bool, numbers: &[10], ..F },
    Field { name: "exclusiveMinimum", ty: Bool, numbers: &[12], ..F },
    Field { name: "externalDocs", ty: Object(&APIEXTENSIONS_V1_EXTERNAL_DOCUMENTATION), numbers: &[35], ..F },
    Field { name: "format", ty: String, numbers: &[6], ..F },
    Field { name: "id", ty: String, numbers: &[1], ..F },
    Field { name: "items", ty: Any, numbers: &[24], ..F },
    Field { name: "maxItems", ty: Int64, numbers: &[16], ..F },
    Field { name: "maxLength", ty: Int64, numbers: &[13], ..F },
    Field { name: "maxProperties", ty: Int64, numbers: &[21], ..F },
    Field { name: "maximum", ty: Double, numbers: &[9], ..F },
    Field { name: "minItems", ty: Int64, numbers: &[17], ..F },
    Field { name: "minLength", ty: Int64, numbers: &[14], ..F },
    Field { name: "minProperties", ty: Int64, numbers: &[22], ..F },
    Field { name: "minimum", ty: Double, numbers: &[11], ..F },
    Field { name: "multipleOf", ty: Double, numbers: &[19], ..F },
    Field { name: "not", ty: Object(&APIEXTENSIONS_V1_JSONSCHEMA_PROPS), numbers: &[28], ..F },
    Field { name: "nullable", ty: Bool, numbers: &[37], ..F },
    Field { name: "oneOf", ty: List(&Object(&APIEXTENSIONS_V1_JSONSCHEMA_PROPS)), numbers: &[26], ..F },
    Field { name: "pattern", ty: String, numbers: &[15], ..F },
    Field { name: "patternProperties", ty: Map(&Object(&APIEXTENSIONS_V1_JSONSCHEMA_PROPS)), numbers: &[31], ..F },
    Field { name: "properties", ty: Map(&Object(&APIEXTENSIONS_V1_JSONSCHEMA_PROPS)), numbers: &[29], ..F },
    Field { name: "required", ty: List(&String), numbers: &[23], ..F },
    Field { name: "title", ty: String, numbers: &[7], ..F },
    Field { name: "type", ty: String, numbers: &[5], ..F },
    Field { name: "uniqueItems", ty: Bool, numbers: &[18], ..F },
    Field { name: "x-kubernetes-embedded-resource", ty: Bool, numbers: &[39], ..F },
    Field { name: "x-kubernetes-int-or-string", ty: Bool, numbers: &[40], ..F },
    Field { name: "x-kubernetes-list-map-keys", ty: List(&String), numbers: &[41], ..F },
    Field { name: "x-kubernetes-list-type", ty: String, numbers: &[42], ..F },
    Field { name: "x-kubernetes-map-type", ty: String, numbers: &[43], ..F },
    Field { name: "x-kubernetes-preserve-unknown-fields", ty: Bool, numbers: &[38], ..F },
    Field { name: "x-kubernetes-validations", ty: List(&Object(&APIEXTENSIONS_V1_VALIDATION_RULE)), list: ListType::Map(&["rule"]), patch: Patch::MergeBy("rule"), numbers: &[44], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_SELECTABLE_FIELD: Object = Object { name: "apiextensions.v1.SelectableField", atomic: false, fields: &[
    Field { name: "jsonPath", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_SERVICE_REFERENCE: Object = Object { name: "apiextensions.v1.ServiceReference", atomic: false, fields: &[
    Field { name: "name", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "namespace", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "path", ty: String, numbers: &[3], ..F },
    Field { name: "port", ty: Int32, numbers: &[4], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_VALIDATION_RULE: Object = Object { name: "apiextensions.v1.ValidationRule", atomic: false, fields: &[
    Field { name: "fieldPath", ty: String, numbers: &[5], ..F },
    Field { name: "message", ty: String, numbers: &[2], ..F },
    Field { name: "messageExpression", ty: String, numbers: &[3], ..F },
    Field { name: "optionalOldSelf", ty: Bool, numbers: &[6], ..F },
    Field { name: "reason", ty: String, numbers: &[4], ..F },
    Field { name: "rule", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_WEBHOOK_CLIENT_CONFIG: Object = Object { name: "apiextensions.v1.WebhookClientConfig", atomic: false, fields: &[
    Field { name: "caBundle", ty: Bytes, numbers: &[2], ..F },
    Field { name: "service", ty: Object(&APIEXTENSIONS_V1_SERVICE_REFERENCE), numbers: &[1], ..F },
    Field { name: "url", ty: String, numbers: &[3], ..F },
] };

pub(crate) static APIEXTENSIONS_V1_WEBHOOK_CONVERSION: Object = Object { name: "apiextensions.v1.WebhookConversion", atomic: false, fields: &[
    Field { name: "clientConfig", ty: Object(&APIEXTENSIONS_V1_WEBHOOK_CLIENT_CONFIG), numbers: &[2], ..F },
    Field { name: "conversionReviewVersions", ty: List(&String), required: true, numbers: &[3], ..F },
] };

pub(crate) static APPS_V1_CONTROLLER_REVISION: Object = Object { name: "apps.v1.ControllerRevision", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "data", ty: Any, numbers: &[2], ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "revision", ty: Int64, required: true, numbers: &[3], ..F },
] };

pub(crate) static APPS_V1_DAEMON_SET: Object = Object { name: "apps.v1.DaemonSet", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&APPS_V1_DAEMON_SET_SPEC), numbers: &[2], ..F },
    Field { name: "status", ty: Object(&APPS_V1_DAEMON_SET_STATUS), numbers: &[3], ..F },
] };

pub(crate) static APPS_V1_DAEMON_SET_CONDITION: Object = Object { name: "apps.v1.DaemonSetCondition", atomic: false, fields: &[
    Field { name: "lastTransitionTime", ty: Time, numbers: &[3], ..F },
    Field { name: "message", ty: String, numbers: &[5], ..F },
    Field { name: "reason", ty: String, numbers: &[4], ..F },
    Field { name: "status", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static APPS_V1_DAEMON_SET_SPEC: Object = Object { name: "apps.v1.DaemonSetSpec", atomic: false, fields: &[
    Field { name: "minReadySeconds", ty: Int32, numbers: &[4], ..F },
    Field { name: "revisionHistoryLimit", ty: Int32, default: Some(Literal::Int(10)), numbers: &[6], ..F },
    Field { name: "selector", ty: Object(&META_V1_LABEL_SELECTOR), required: true, numbers: &[1], ..F },
    Field { name: "template", ty: Object(&CORE_V1_POD_TEMPLATE_SPEC), required: true, numbers: &[2], ..F },
    Field { name: "updateStrategy", ty: Object(&APPS_V1_DAEMON_SET_UPDATE_STRATEGY), default: Some(Literal::Empty), numbers: &[3], ..F },
] };

pub(crate) static APPS_V1_DAEMON_SET_STATUS: Object = Object { name: "apps.v1.DaemonSetStatus", atomic: false, fields: &[
    Field { name: "collisionCount", ty: Int32, numbers: &[9], ..F },
    Field { name: "conditions", ty: List(&Object(&APPS_V1_DAEMON_SET_CONDITION)), list: ListType::Map(&["type"]), patch: Patch::MergeBy("type"), numbers: &[10], ..F },
    Field { name: "currentNumberScheduled", ty: Int32, required: true, numbers: &[1], ..F },
    Field { name: "desiredNumberScheduled", ty: Int32, required: true, numbers: &[3], ..F },
    Field { name: "numberAvailable", ty: Int32, numbers: &[7], ..F },
    Field { name: "numberMisscheduled", ty: Int32, required: true, numbers: &[2], ..F },
    Field { name: "numberReady", ty: Int32, required: true, numbers: &[4], ..F },
    Field { name: "numberUnavailable", ty: Int32, numbers: &[8], ..F },
    Field { name: "observedGeneration", ty: Int64, numbers: &[5], ..F },
    Field { name: "updatedNumberScheduled", ty: Int32, numbers: &[6], ..F },
] };

pub(crate) static APPS_V1_DAEMON_SET_UPDATE_STRATEGY: Object = Object { name: "apps.v1.DaemonSetUpdateStrategy", atomic: false, fields: &[
    Field { name: "rollingUpdate", ty: Object(&APPS_V1_ROLLING_UPDATE_DAEMON_SET), numbers: &[2], ..F },
    Field { name: "type", ty: String, default: Some(Literal::Str("RollingUpdate")), values: &["RollingUpdate", "OnDelete"], numbers: &[1], ..F },
] };

pub(crate) static APPS_V1_DEPLOYMENT: Object = Object { name: "apps.v1.Deployment", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&APPS_V1_DEPLOYMENT_SPEC), required: true, numbers: &[2], ..F },
    Field { name: "status", ty: Object(&APPS_V1_DEPLOYMENT_STATUS), support: Support::Dropped, numbers: &[3], ..F },
] };

pub(crate) static APPS_V1_DEPLOYMENT_CONDITION: Object = Object { name: "apps.v1.DeploymentCondition", atomic: false, fields: &[
    Field { name: "lastTransitionTime", ty: Time, numbers: &[7], ..F },
    Field { name: "lastUpdateTime", ty: Time, numbers: &[6], ..F },
    Field { name: "message", ty: String, numbers: &[5], ..F },
    Field { name: "reason", ty: String, numbers: &[4], ..F },
    Field { name: "status", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static APPS_V1_DEPLOYMENT_SPEC: Object = Object { name: "apps.v1.DeploymentSpec", atomic: false, fields: &[
    Field { name: "minReadySeconds", ty: Int32, range: Some((0, i64::MAX)), absent: Some(Literal::Int(0)), numbers: &[5], ..F },
    Field { name: "paused", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[7], ..F },
    Field { name: "progressDeadlineSeconds", ty: Int32, default: Some(Literal::Int(600)), range: Some((0, i64::MAX)), numbers: &[9], ..F },
    Field { name: "replicas", ty: Int32, default: Some(Literal::Int(1)), range: Some((0, i64::MAX)), numbers: &[1], ..F },
    Field { name: "revisionHistoryLimit", ty: Int32, default: Some(Literal::Int(10)), range: Some((0, i64::MAX)), numbers: &[6], ..F },
    Field { name: "selector", ty: Object(&META_V1_LABEL_SELECTOR), required: true, numbers: &[2], ..F },
    Field { name: "strategy", ty: Object(&APPS_V1_DEPLOYMENT_STRATEGY), patch: Patch::RetainKeys, default: Some(Literal::Empty), numbers: &[4], ..F },
    Field { name: "template", ty: Object(&CORE_V1_POD_TEMPLATE_SPEC), required: true, numbers: &[3], ..F },
] };

pub(crate) static APPS_V1_DEPLOYMENT_STATUS: Object = Object { name: "apps.v1.DeploymentStatus", atomic: false, fields: &[
    Field { name: "availableReplicas", ty: Int32, numbers: &[4], ..F },
    Field { name: "collisionCount", ty: Int32, numbers: &[8], ..F },
    Field { name: "conditions", ty: List(&Object(&APPS_V1_DEPLOYMENT_CONDITION)), list: ListType::Map(&["type"]), patch: Patch::MergeBy("type"), numbers: &[6], ..F },
    Field { name: "observedGeneration", ty: Int64, numbers: &[1], ..F },
    Field { name: "readyReplicas", ty: Int32, numbers: &[7], ..F },
    Field { name: "replicas", ty: Int32, numbers: &[2], ..F },
    Field { name: "terminatingReplicas", ty: Int32, numbers: &[9], ..F },
    Field { name: "unavailableReplicas", ty: Int32, numbers: &[5], ..F },
    Field { name: "updatedReplicas", ty: Int32, numbers: &[3], ..F },
] };

pub(crate) static APPS_V1_DEPLOYMENT_STRATEGY: Object = Object { name: "apps.v1.DeploymentStrategy", atomic: false, fields: &[
    Field { name: "rollingUpdate", ty: Object(&APPS_V1_ROLLING_UPDATE_DEPLOYMENT), numbers: &[2], ..F },
    Field { name: "type", ty: String, default: Some(Literal::Str("RollingUpdate")), values: &["Recreate", "RollingUpdate"], numbers: &[1], ..F },
] };

pub(crate) static APPS_V1_REPLICA_SET: Object = Object { name: "apps.v1.ReplicaSet", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&APPS_V1_REPLICA_SET_SPEC), required: true, numbers: &[2], ..F },
    Field { name: "status", ty: Object(&APPS_V1_REPLICA_SET_STATUS), support: Support::Dropped, numbers: &[3], ..F },
] };

pub(crate) static APPS_V1_REPLICA_SET_CONDITION: Object = Object { name: "apps.v1.ReplicaSetCondition", atomic: false, fields: &[
    Field { name: "lastTransitionTime", ty: Time, numbers: &[3], ..F },
    Field { name: "message", ty: String, numbers: &[5], ..F },
    Field { name: "reason", ty: String, numbers: &[4], ..F },
    Field { name: "status", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static APPS_V1_REPLICA_SET_SPEC: Object = Object { name: "apps.v1.ReplicaSetSpec", atomic: false, fields: &[
    Field { name: "minReadySeconds", ty: Int32, range: Some((0, i64::MAX)), absent: Some(Literal::Int(0)), numbers: &[4], ..F },
    Field { name: "replicas", ty: Int32, default: Some(Literal::Int(1)), range: Some((0, i64::MAX)), numbers: &[1], ..F },
    Field { name: "selector", ty: Object(&META_V1_LABEL_SELECTOR), required: true, numbers: &[2], ..F },
    Field { name: "template", ty: Object(&CORE_V1_POD_TEMPLATE_SPEC), required: true, numbers: &[3], ..F },
] };

pub(crate) static APPS_V1_REPLICA_SET_STATUS: Object = Object { name: "apps.v1.ReplicaSetStatus", atomic: false, fields: &[
    Field { name: "availableReplicas", ty: Int32, numbers: &[5], ..F },
    Field { name: "conditions", ty: List(&Object(&APPS_V1_REPLICA_SET_CONDITION)), list: ListType::Map(&["type"]), patch: Patch::MergeBy("type"), numbers: &[6], ..F },
    Field { name: "fullyLabeledReplicas", ty: Int32, numbers: &[2], ..F },
    Field { name: "observedGeneration", ty: Int64, numbers: &[3], ..F },
    Field { name: "readyReplicas", ty: Int32, numbers: &[4], ..F },
    Field { name: "replicas", ty: Int32, required: true, numbers: &[1], ..F },
    Field { name: "terminatingReplicas", ty: Int32, numbers: &[7], ..F },
] };

pub(crate) static APPS_V1_ROLLING_UPDATE_DAEMON_SET: Object = Object { name: "apps.v1.RollingUpdateDaemonSet", atomic: false, fields: &[
    Field { name: "maxSurge", ty: IntOrString, default: Some(Literal::Int(0)), numbers: &[2], ..F },
    Field { name: "maxUnavailable", ty: IntOrString, default: Some(Literal::Int(1)), numbers: &[1], ..F },
] };

pub(crate) static APPS_V1_ROLLING_UPDATE_DEPLOYMENT: Object = Object { name: "apps.v1.RollingUpdateDeployment", atomic: false, fields: &[
    Field { name: "maxSurge", ty: IntOrString, default: Some(Literal::Str("25%")), numbers: &[2], ..F },
    Field { name: "maxUnavailable", ty: IntOrString, default: Some(Literal::Str("25%")), numbers: &[1], ..F },
] };

pub(crate) static APPS_V1_ROLLING_UPDATE_STATEFUL_SET_STRATEGY: Object = Object { name: "apps.v1.RollingUpdateStatefulSetStrategy", atomic: false, fields: &[
    Field { name: "maxUnavailable", ty: IntOrString, numbers: &[2], ..F },
    Field { name: "partition", ty: Int32, numbers: &[1], ..F },
] };

pub(crate) static APPS_V1_STATEFUL_SET: Object = Object { name: "apps.v1.StatefulSet", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&APPS_V1_STATEFUL_SET_SPEC), numbers: &[2], ..F },
    Field { name: "status", ty: Object(&APPS_V1_STATEFUL_SET_STATUS), numbers: &[3], ..F },
] };

pub(crate) static APPS_V1_STATEFUL_SET_CONDITION: Object = Object { name: "apps.v1.StatefulSetCondition", atomic: false, fields: &[
    Field { name: "lastTransitionTime", ty: Time, numbers: &[3], ..F },
    Field { name: "message", ty: String, numbers: &[5], ..F },
    Field { name: "reason", ty: String, numbers: &[4], ..F },
    Field { name: "status", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static APPS_V1_STATEFUL_SET_ORDINALS: Object = Object { name: "apps.v1.StatefulSetOrdinals", atomic: false, fields: &[
    Field { name: "start", ty: Int32, numbers: &[1], ..F },
] };

pub(crate) static APPS_V1_STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY: Object = Object { name: "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", atomic: false, fields: &[
    Field { name: "whenDeleted", ty: String, numbers: &[1], ..F },
    Field { name: "whenScaled", ty: String, numbers: &[2], ..F },
] };

pub(crate) static APPS_V1_STATEFUL_SET_SPEC: Object = Object { name: "apps.v1.StatefulSetSpec", atomic: false, fields: &[
    Field { name: "minReadySeconds", ty: Int32, numbers: &[9], ..F },
    Field { name: "ordinals", ty: Object(&APPS_V1_STATEFUL_SET_ORDINALS), numbers: &[11], ..F },
    Field { name: "persistentVolumeClaimRetentionPolicy", ty: Object(&APPS_V1_STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY), numbers: &[10], ..F },
    Field { name: "podManagementPolicy", ty: String, default: Some(Literal::Str("OrderedReady")), values: &["OrderedReady", "Parallel"], numbers: &[6], ..F },
    Field { name: "replicas", ty: Int32, default: Some(Literal::Int(1)), numbers: &[1], ..F },
    Field { name: "revisionHistoryLimit", ty: Int32, default: Some(Literal::Int(10)), numbers: &[8], ..F },
    Field { name: "selector", ty: Object(&META_V1_LABEL_SELECTOR), required: true, numbers: &[2], ..F },
    Field { name: "serviceName", ty: String, numbers: &[5], ..F },
    Field { name: "template", ty: Object(&CORE_V1_POD_TEMPLATE_SPEC), required: true, numbers: &[3], ..F },
    Field { name: "updateStrategy", ty: Object(&APPS_V1_STATEFUL_SET_UPDATE_STRATEGY), default: Some(Literal::Empty), numbers: &[7], ..F },
    Field { name: "volumeClaimTemplates", ty: List(&Object(&CORE_V1_PERSISTENT_VOLUME_CLAIM)), numbers: &[4], ..F },
] };

pub(crate) static APPS_V1_STATEFUL_SET_STATUS: Object = Object { name: "apps.v1.StatefulSetStatus", atomic: false, fields: &[
    Field { name: "availableReplicas", ty: Int32, numbers: &[11], ..F },
    Field { name: "collisionCount", ty: Int32, numbers: &[9], ..F },
    Field { name: "conditions", ty: List(&Object(&APPS_V1_STATEFUL_SET_CONDITION)), list: ListType::Map(&["type"]), patch: Patch::MergeBy("type"), numbers: &[10], ..F },
    Field { name: "currentReplicas", ty: Int32, numbers: &[4], ..F },
    Field { name: "currentRevision", ty: String, numbers: &[6], ..F },
    Field { name: "observedGeneration", ty: Int64, numbers: &[1], ..F },
    Field { name: "readyReplicas", ty: Int32, numbers: &[3], ..F },
    Field { name: "replicas", ty: Int32, required: true, numbers: &[2], ..F },
    Field { name: "updateRevision", ty: String, numbers: &[7], ..F },
    Field { name: "updatedReplicas", ty: Int32, numbers: &[5], ..F },
] };

pub(crate) static APPS_V1_STATEFUL_SET_UPDATE_STRATEGY: Object = Object { name: "apps.v1.StatefulSetUpdateStrategy", atomic: false, fields: &[
    Field { name: "rollingUpdate", ty: Object(&APPS_V1_ROLLING_UPDATE_STATEFUL_SET_STRATEGY), numbers: &[2], ..F },
    Field { name: "type", ty: String, default: Some(Literal::Str("RollingUpdate")), values: &["RollingUpdate", "OnDelete"], numbers: &[1], ..F },
] };

pub(crate) static AUTHENTICATION_V1_BOUND_OBJECT_REFERENCE: Object = Object { name: "authentication.v1.BoundObjectReference", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, numbers: &[2], ..F },
    Field { name: "kind", ty: String, numbers: &[1], ..F },
    Field { name: "name", ty: String, numbers: &[3], ..F },
    Field { name: "uid", ty: String, numbers: &[4], ..F },
] };

pub(crate) static AUTHENTICATION_V1_SELF_SUBJECT_REVIEW: Object = Object { name: "authentication.v1.SelfSubjectReview", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "status", ty: Object(&AUTHENTICATION_V1_SELF_SUBJECT_REVIEW_STATUS), numbers: &[2], ..F },
] };

pub(crate) static AUTHENTICATION_V1_SELF_SUBJECT_REVIEW_STATUS: Object = Object { name: "authentication.v1.SelfSubjectReviewStatus", atomic: false, fields: &[
    Field { name: "userInfo", ty: Object(&AUTHENTICATION_V1_USER_INFO), numbers: &[1], ..F },
] };

pub(crate) static AUTHENTICATION_V1_TOKEN_REQUEST: Object = Object { name: "authentication.v1.TokenRequest", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&AUTHENTICATION_V1_TOKEN_REQUEST_SPEC), numbers: &[2], ..F },
    Field { name: "status", ty: Object(&AUTHENTICATION_V1_TOKEN_REQUEST_STATUS), numbers: &[3], ..F },
] };

pub(crate) static AUTHENTICATION_V1_TOKEN_REQUEST_SPEC: Object = Object { name: "authentication.v1.TokenRequestSpec", atomic: false, fields: &[
    Field { name: "audiences", ty: List(&String), numbers: &[1], ..F },
    Field { name: "boundObjectRef", ty: Object(&AUTHENTICATION_V1_BOUND_OBJECT_REFERENCE), numbers: &[3], ..F },
    Field { name: "expirationSeconds", ty: Int64, default: Some(Literal::Int(3600)), numbers: &[4], ..F },
] };

pub(crate) static AUTHENTICATION_V1_TOKEN_REQUEST_STATUS: Object = Object { name: "authentication.v1.TokenRequestStatus", atomic: false, fields: &[
    Field { name: "expirationTimestamp", ty: Time, numbers: &[2], ..F },
    Field { name: "token", ty: String, numbers: &[1], ..F },
] };

pub(crate) static AUTHENTICATION_V1_TOKEN_REVIEW: Object = Object { name: "authentication.v1.TokenReview", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&AUTHENTICATION_V1_TOKEN_REVIEW_SPEC), required: true, numbers: &[2], ..F },
    Field { name: "status", ty: Object(&AUTHENTICATION_V1_TOKEN_REVIEW_STATUS), numbers: &[3], ..F },
] };

pub(crate) static AUTHENTICATION_V1_TOKEN_REVIEW_SPEC: Object = Object { name: "authentication.v1.TokenReviewSpec", atomic: false, fields: &[
    Field { name: "audiences", ty: List(&String), numbers: &[2], ..F },
    Field { name: "token", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static AUTHENTICATION_V1_TOKEN_REVIEW_STATUS: Object = Object { name: "authentication.v1.TokenReviewStatus", atomic: false, fields: &[
    Field { name: "audiences", ty: List(&String), numbers: &[4], ..F },
    Field { name: "authenticated", ty: Bool, numbers: &[1], ..F },
    Field { name: "error", ty: String, numbers: &[3], ..F },
    Field { name: "user", ty: Object(&AUTHENTICATION_V1_USER_INFO), numbers: &[2], ..F },
] };

pub(crate) static AUTHENTICATION_V1_USER_INFO: Object = Object { name: "authentication.v1.UserInfo", atomic: false, fields: &[
    Field { name: "extra", ty: Map(&List(&String)), numbers: &[4], ..F },
    Field { name: "groups", ty: List(&String), numbers: &[3], ..F },
    Field { name: "uid", ty: String, numbers: &[2], ..F },
    Field { name: "username", ty: String, numbers: &[1], ..F },
] };

pub(crate) static AUTHORIZATION_V1_FIELD_SELECTOR_ATTRIBUTES: Object = Object { name: "authorization.v1.FieldSelectorAttributes", atomic: false, fields: &[
    Field { name: "rawSelector", ty: String, numbers: &[1], ..F },
    Field { name: "requirements", ty: List(&Object(&META_V1_FIELD_SELECTOR_REQUIREMENT)), numbers: &[2], ..F },
] };

pub(crate) static AUTHORIZATION_V1_LABEL_SELECTOR_ATTRIBUTES: Object = Object { name: "authorization.v1.LabelSelectorAttributes", atomic: false, fields: &[
    Field { name: "rawSelector", ty: String, numbers: &[1], ..F },
    Field { name: "requirements", ty: List(&Object(&META_V1_LABEL_SELECTOR_REQUIREMENT)), numbers: &[2], ..F },
] };

pub(crate) static AUTHORIZATION_V1_LOCAL_SUBJECT_ACCESS_REVIEW: Object = Object { name: "authorization.v1.LocalSubjectAccessReview", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&AUTHORIZATION_V1_SUBJECT_ACCESS_REVIEW_SPEC), required: true, numbers: &[2], ..F },
    Field { name: "status", ty: Object(&AUTHORIZATION_V1_SUBJECT_ACCESS_REVIEW_STATUS), numbers: &[3], ..F },
] };

pub(crate) static AUTHORIZATION_V1_NON_RESOURCE_ATTRIBUTES: Object = Object { name: "authorization.v1.NonResourceAttributes", atomic: false, fields: &[
    Field { name: "path", ty: String, numbers: &[1], ..F },
    Field { name: "verb", ty: String, numbers: &[2], ..F },
] };

pub(crate) static AUTHORIZATION_V1_NON_RESOURCE_RULE: Object = Object { name: "authorization.v1.NonResourceRule", atomic: false, fields: &[
    Field { name: "nonResourceURLs", ty: List(&String), numbers: &[2], ..F },
    Field { name: "verbs", ty: List(&String), required: true, numbers: &[1], ..F },
] };

pub(crate) static AUTHORIZATION_V1_RESOURCE_ATTRIBUTES: Object = Object { name: "authorization.v1.ResourceAttributes", atomic: false, fields: &[
    Field { name: "fieldSelector", ty: Object(&AUTHORIZATION_V1_FIELD_SELECTOR_ATTRIBUTES), numbers: &[8], ..F },
    Field { name: "group", ty: String, numbers: &[3], ..F },
    Field { name: "labelSelector", ty: Object(&AUTHORIZATION_V1_LABEL_SELECTOR_ATTRIBUTES), numbers: &[9], ..F },
    Field { name: "name", ty: String, numbers: &[7], ..F },
    Field { name: "namespace", ty: String, numbers: &[1], ..F },
    Field { name: "resource", ty: String, numbers: &[5], ..F },
    Field { name: "subresource", ty: String, numbers: &[6], ..F },
    Field { name: "verb", ty: String, numbers: &[2], ..F },
    Field { name: "version", ty: String, numbers: &[4], ..F },
] };

pub(crate) static AUTHORIZATION_V1_RESOURCE_RULE: Object = Object { name: "authorization.v1.ResourceRule", atomic: false, fields: &[
    Field { name: "apiGroups", ty: List(&String), numbers: &[2], ..F },
    Field { name: "resourceNames", ty: List(&String), numbers: &[4], ..F },
    Field { name: "resources", ty: List(&String), numbers: &[3], ..F },
    Field { name: "verbs", ty: List(&String), required: true, numbers: &[1], ..F },
] };

pub(crate) static AUTHORIZATION_V1_SELF_SUBJECT_ACCESS_REVIEW: Object = Object { name: "authorization.v1.SelfSubjectAccessReview", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&AUTHORIZATION_V1_SELF_SUBJECT_ACCESS_REVIEW_SPEC), required: true, numbers: &[2], ..F },
    Field { name: "status", ty: Object(&AUTHORIZATION_V1_SUBJECT_ACCESS_REVIEW_STATUS), numbers: &[3], ..F },
] };

pub(crate) static AUTHORIZATION_V1_SELF_SUBJECT_ACCESS_REVIEW_SPEC: Object = Object { name: "authorization.v1.SelfSubjectAccessReviewSpec", atomic: false, fields: &[
    Field { name: "nonResourceAttributes", ty: Object(&AUTHORIZATION_V1_NON_RESOURCE_ATTRIBUTES), numbers: &[2], ..F },
    Field { name: "resourceAttributes", ty: Object(&AUTHORIZATION_V1_RESOURCE_ATTRIBUTES), numbers: &[1], ..F },
] };

pub(crate) static AUTHORIZATION_V1_SELF_SUBJECT_RULES_REVIEW: Object = Object { name: "authorization.v1.SelfSubjectRulesReview", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&AUTHORIZATION_V1_SELF_SUBJECT_RULES_REVIEW_SPEC), required: true, numbers: &[2], ..F },
    Field { name: "status", ty: Object(&AUTHORIZATION_V1_SUBJECT_RULES_REVIEW_STATUS), numbers: &[3], ..F },
] };

pub(crate) static AUTHORIZATION_V1_SELF_SUBJECT_RULES_REVIEW_SPEC: Object = Object { name: "authorization.v1.SelfSubjectRulesReviewSpec", atomic: false, fields: &[
    Field { name: "namespace", ty: String, numbers: &[1], ..F },
] };

pub(crate) static AUTHORIZATION_V1_SUBJECT_ACCESS_REVIEW: Object = Object { name: "authorization.v1.SubjectAccessReview", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&AUTHORIZATION_V1_SUBJECT_ACCESS_REVIEW_SPEC), required: true, numbers: &[2], ..F },
    Field { name: "status", ty: Object(&AUTHORIZATION_V1_SUBJECT_ACCESS_REVIEW_STATUS), numbers: &[3], ..F },
] };

pub(crate) static AUTHORIZATION_V1_SUBJECT_ACCESS_REVIEW_SPEC: Object = Object { name: "authorization.v1.SubjectAccessReviewSpec", atomic: false, fields: &[
    Field { name: "extra", ty: Map(&List(&String)), numbers: &[5], ..F },
    Field { name: "groups", ty: List(&String), numbers: &[4], ..F },
    Field { name: "nonResourceAttributes", ty: Object(&AUTHORIZATION_V1_NON_RESOURCE_ATTRIBUTES), numbers: &[2], ..F },
    Field { name: "resourceAttributes", ty: Object(&AUTHORIZATION_V1_RESOURCE_ATTRIBUTES), numbers: &[1], ..F },
    Field { name: "uid", ty: String, numbers: &[6], ..F },
    Field { name: "user", ty: String, numbers: &[3], ..F },
] };

pub(crate) static AUTHORIZATION_V1_SUBJECT_ACCESS_REVIEW_STATUS: Object = Object { name: "authorization.v1.SubjectAccessReviewStatus", atomic: false, fields: &[
    Field { name: "allowed", ty: Bool, required: true, numbers: &[1], ..F },
    Field { name: "denied", ty: Bool, numbers: &[4], ..F },
    Field { name: "evaluationError", ty: String, numbers: &[3], ..F },
    Field { name: "reason", ty: String, numbers: &[2], ..F },
] };

pub(crate) static AUTHORIZATION_V1_SUBJECT_RULES_REVIEW_STATUS: Object = Object { name: "authorization.v1.SubjectRulesReviewStatus", atomic: false, fields: &[
    Field { name: "evaluationError", ty: String, numbers: &[4], ..F },
    Field { name: "incomplete", ty: Bool, required: true, numbers: &[3], ..F },
    Field { name: "nonResourceRules", ty: List(&Object(&AUTHORIZATION_V1_NON_RESOURCE_RULE)), required: true, numbers: &[2], ..F },
    Field { name: "resourceRules", ty: List(&Object(&AUTHORIZATION_V1_RESOURCE_RULE)), required: true, numbers: &[1], ..F },
] };

pub(crate) static AUTOSCALING_V1_SCALE: Object = Object { name: "autoscaling.v1.Scale", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&AUTOSCALING_V1_SCALE_SPEC), numbers: &[2], ..F },
    Field { name: "status", ty: Object(&AUTOSCALING_V1_SCALE_STATUS), numbers: &[3], ..F },
] };

pub(crate) static AUTOSCALING_V1_SCALE_SPEC: Object = Object { name: "autoscaling.v1.ScaleSpec", atomic: false, fields: &[
    Field { name: "replicas", ty: Int32, default: Some(Literal::Int(0)), numbers: &[1], ..F },
] };

pub(crate) static AUTOSCALING_V1_SCALE_STATUS: Object = Object { name: "autoscaling.v1.ScaleStatus", atomic: false, fields: &[
    Field { name: "replicas", ty: Int32, required: true, numbers: &[1], ..F },
    Field { name: "selector", ty: String, numbers: &[2], ..F },
] };

pub(crate) static BATCH_V1_CRON_JOB: Object = Object { name: "batch.v1.CronJob", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&BATCH_V1_CRON_JOB_SPEC), required: true, numbers: &[2], ..F },
    Field { name: "status", ty: Object(&BATCH_V1_CRON_JOB_STATUS), numbers: &[3], ..F },
] };

pub(crate) static BATCH_V1_CRON_JOB_SPEC: Object = Object { name: "batch.v1.CronJobSpec", atomic: false, fields: &[
    Field { name: "concurrencyPolicy", ty: String, default: Some(Literal::Str("Allow")), values: &["Allow", "Forbid", "Replace"], numbers: &[3], ..F },
    Field { name: "failedJobsHistoryLimit", ty: Int32, default: Some(Literal::Int(1)), numbers: &[7], ..F },
    Field { name: "jobTemplate", ty: Object(&BATCH_V1_JOB_TEMPLATE_SPEC), required: true, numbers: &[5], ..F },
    Field { name: "schedule", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "startingDeadlineSeconds", ty: Int64, numbers: &[2], ..F },
    Field { name: "successfulJobsHistoryLimit", ty: Int32, default: Some(Literal::Int(3)), numbers: &[6], ..F },
    Field { name: "suspend", ty: Bool, default: Some(Literal::Bool(false)), numbers: &[4], ..F },
    Field { name: "timeZone", ty: String, numbers: &[8], ..F },
] };

pub(crate) static BATCH_V1_CRON_JOB_STATUS: Object = Object { name: "batch.v1.CronJobStatus", atomic: false, fields: &[
    Field { name: "active", ty: List(&Object(&CORE_V1_OBJECT_REFERENCE)), numbers: &[1], ..F },
    Field { name: "lastScheduleTime", ty: Time, numbers: &[4], ..F },
    Field { name: "lastSuccessfulTime", ty: Time, numbers: &[5], ..F },
] };

pub(crate) static BATCH_V1_JOB: Object = Object { name: "batch.v1.Job", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&BATCH_V1_JOB_SPEC), numbers: &[2], ..F },
    Field { name: "status", ty: Object(&BATCH_V1_JOB_STATUS), numbers: &[3], ..F },
] };

pub(crate) static BATCH_V1_JOB_CONDITION: Object = Object { name: "batch.v1.JobCondition", atomic: false, fields: &[
    Field { name: "lastProbeTime", ty: Time, numbers: &[3], ..F },
    Field { name: "lastTransitionTime", ty: Time, numbers: &[4], ..F },
    Field { name: "message", ty: String, numbers: &[6], ..F },
    Field { name: "reason", ty: String, numbers: &[5], ..F },
    Field { name: "status", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static BATCH_V1_JOB_SPEC: Object = Object { name: "batch.v1.JobSpec", atomic: false, fields: &[
    Field { name: "activeDeadlineSeconds", ty: Int64, numbers: &[3], ..F },
    Field { name: "backoffLimit", ty: Int32, default: Some(Literal::Int(6)), numbers: &[7], ..F },
    Field { name: "backoffLimitPerIndex", ty: Int32, numbers: &[12], ..F },
    Field { name: "completionMode", ty: String, default: Some(Literal::Str("NonIndexed")), values: &["NonIndexed", "Indexed"], numbers: &[9], ..F },
    Field { name: "completions", ty: Int32, numbers: &[2], ..F },
    Field { name: "managedBy", ty: String, numbers: &[15], ..F },
    Field { name: "manualSelector", ty: Bool, numbers: &[5], ..F },
    Field { name: "maxFailedIndexes", ty: Int32, numbers: &[13], ..F },
    Field { name: "parallelism", ty: Int32, default: Some(Literal::Int(1)), numbers: &[1], ..F },
    Field { name: "podFailurePolicy", ty: Object(&BATCH_V1_POD_FAILURE_POLICY), numbers: &[11], ..F },
    Field { name: "podReplacementPolicy", ty: String, values: &["TerminatingOrFailed", "Failed"], numbers: &[14], ..F },
    Field { name: "selector", ty: Object(&META_V1_LABEL_SELECTOR), numbers: &[4], ..F },
    Field { name: "successPolicy", ty: Object(&BATCH_V1_SUCCESS_POLICY), numbers: &[16], ..F },
    Field { name: "suspend", ty: Bool, default: Some(Literal::Bool(false)), numbers: &[10], ..F },
    Field { name: "template", ty: Object(&CORE_V1_POD_TEMPLATE_SPEC), required: true, numbers: &[6], ..F },
    Field { name: "ttlSecondsAfterFinished", ty: Int32, numbers: &[8], ..F },
] };

pub(crate) static BATCH_V1_JOB_STATUS: Object = Object { name: "batch.v1.JobStatus", atomic: false, fields: &[
    Field { name: "active", ty: Int32, numbers: &[4], ..F },
    Field { name: "completedIndexes", ty: String, numbers: &[7], ..F },
    Field { name: "completionTime", ty: Time, numbers: &[3], ..F },
    Field { name: "conditions", ty: List(&Object(&BATCH_V1_JOB_CONDITION)), patch: Patch::MergeBy("type"), numbers: &[1], ..F },
    Field { name: "failed", ty: Int32, numbers: &[6], ..F },
    Field { name: "failedIndexes", ty: String, numbers: &[10], ..F },
    Field { name: "ready", ty: Int32, numbers: &[9], ..F },
    Field { name: "startTime", ty: Time, numbers: &[2], ..F },
    Field { name: "succeeded", ty: Int32, numbers: &[5], ..F },
    Field { name: "terminating", ty: Int32, numbers: &[11], ..F },
    Field { name: "uncountedTerminatedPods", ty: Object(&BATCH_V1_UNCOUNTED_TERMINATED_PODS), numbers: &[8], ..F },
] };

pub(crate) static BATCH_V1_JOB_TEMPLATE_SPEC: Object = Object { name: "batch.v1.JobTemplateSpec", atomic: false, fields: &[
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&BATCH_V1_JOB_SPEC), numbers: &[2], ..F },
] };

pub(crate) static BATCH_V1_POD_FAILURE_POLICY: Object = Object { name: "batch.v1.PodFailurePolicy", atomic: false, fields: &[
    Field { name: "rules", ty: List(&Object(&BATCH_V1_POD_FAILURE_POLICY_RULE)), required: true, numbers: &[1], ..F },
] };

pub(crate) static BATCH_V1_POD_FAILURE_POLICY_ON_EXIT_CODES_REQUIREMENT: Object = Object { name: "batch.v1.PodFailurePolicyOnExitCodesRequirement", atomic: false, fields: &[
    Field { name: "containerName", ty: String, numbers: &[1], ..F },
    Field { name: "operator", ty: String, required: true, values: &["In", "NotIn"], numbers: &[2], ..F },
    Field { name: "values", ty: List(&Int32), required: true, list: ListType::Set, numbers: &[3], ..F },
] };

pub(crate) static BATCH_V1_POD_FAILURE_POLICY_ON_POD_CONDITIONS_PATTERN: Object = Object { name: "batch.v1.PodFailurePolicyOnPodConditionsPattern", atomic: false, fields: &[
    Field { name: "status", ty: String, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static BATCH_V1_POD_FAILURE_POLICY_RULE: Object = Object { name: "batch.v1.PodFailurePolicyRule", atomic: false, fields: &[
    Field { name: "action", ty: String, required: true, values: &["FailJob", "FailIndex", "Ignore", "Count"], numbers: &[1], ..F },
    Field { name: "onExitCodes", ty: Object(&BATCH_V1_POD_FAILURE_POLICY_ON_EXIT_CODES_REQUIREMENT), numbers: &[2], ..F },
    Field { name: "onPodConditions", ty: List(&Object(&BATCH_V1_POD_FAILURE_POLICY_ON_POD_CONDITIONS_PATTERN)), numbers: &[3], ..F },
] };

pub(crate) static BATCH_V1_SUCCESS_POLICY: Object = Object { name: "batch.v1.SuccessPolicy", atomic: false, fields: &[
    Field { name: "rules", ty: List(&Object(&BATCH_V1_SUCCESS_POLICY_RULE)), required: true, numbers: &[1], ..F },
] };

pub(crate) static BATCH_V1_SUCCESS_POLICY_RULE: Object = Object { name: "batch.v1.SuccessPolicyRule", atomic: false, fields: &[
    Field { name: "succeededCount", ty: Int32, numbers: &[2], ..F },
    Field { name: "succeededIndexes", ty: String, numbers: &[1], ..F },
] };

pub(crate) static BATCH_V1_UNCOUNTED_TERMINATED_PODS: Object = Object { name: "batch.v1.UncountedTerminatedPods", atomic: false, fields: &[
    Field { name: "failed", ty: List(&String), list: ListType::Set, numbers: &[2], ..F },
    Field { name: "succeeded", ty: List(&String), list: ListType::Set, numbers: &[1], ..F },
] };

pub(crate) static CERTIFICATES_V1_CERTIFICATE_SIGNING_REQUEST: Object = Object { name: "certificates.v1.CertificateSigningRequest", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&CERTIFICATES_V1_CERTIFICATE_SIGNING_REQUEST_SPEC), required: true, numbers: &[2], ..F },
    Field { name: "status", ty: Object(&CERTIFICATES_V1_CERTIFICATE_SIGNING_REQUEST_STATUS), numbers: &[3], ..F },
] };

pub(crate) static CERTIFICATES_V1_CERTIFICATE_SIGNING_REQUEST_CONDITION: Object = Object { name: "certificates.v1.CertificateSigningRequestCondition", atomic: false, fields: &[
    Field { name: "lastTransitionTime", ty: Time, numbers: &[5], ..F },
    Field { name: "lastUpdateTime", ty: Time, numbers: &[4], ..F },
    Field { name: "message", ty: String, numbers: &[3], ..F },
    Field { name: "reason", ty: String, numbers: &[2], ..F },
    Field { name: "status", ty: String, required: true, numbers: &[6], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CERTIFICATES_V1_CERTIFICATE_SIGNING_REQUEST_SPEC: Object = Object { name: "certificates.v1.CertificateSigningRequestSpec", atomic: false, fields: &[
    Field { name: "expirationSeconds", ty: Int32, numbers: &[8], ..F },
    Field { name: "extra", ty: Map(&List(&String)), numbers: &[6], ..F },
    Field { name: "groups", ty: List(&String), numbers: &[4], ..F },
    Field { name: "request", ty: Bytes, required: true, numbers: &[1], ..F },
    Field { name: "signerName", ty: String, required: true, numbers: &[7], ..F },
    Field { name: "uid", ty: String, numbers: &[3], ..F },
    Field { name: "usages", ty: List(&String), values: &["signing", "digital signature", "content commitment", "key encipherment", "key agreement", "data encipherment", "cert sign", "crl sign", "encipher only", "decipher only", "any", "server auth", "client auth", "code signing", "email protection", "s/mime", "ipsec end system", "ipsec tunnel", "ipsec user", "timestamping", "ocsp signing", "microsoft sgc", "netscape sgc"], numbers: &[5], ..F },
    Field { name: "username", ty: String, numbers: &[2], ..F },
] };

pub(crate) static CERTIFICATES_V1_CERTIFICATE_SIGNING_REQUEST_STATUS: Object = Object { name: "certificates.v1.CertificateSigningRequestStatus", atomic: false, fields: &[
    Field { name: "certificate", ty: Bytes, numbers: &[2], ..F },
    Field { name: "conditions", ty: List(&Object(&CERTIFICATES_V1_CERTIFICATE_SIGNING_REQUEST_CONDITION)), list: ListType::Map(&["type"]), numbers: &[1], ..F },
] };

pub(crate) static COORDINATION_V1_LEASE: Object = Object { name: "coordination.v1.Lease", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&COORDINATION_V1_LEASE_SPEC), numbers: &[2], ..F },
] };

pub(crate) static COORDINATION_V1_LEASE_SPEC: Object = Object { name: "coordination.v1.LeaseSpec", atomic: false, fields: &[
    Field { name: "acquireTime", ty: Time, numbers: &[3], ..F },
    Field { name: "holderIdentity", ty: String, numbers: &[1], ..F },
    Field { name: "leaseDurationSeconds", ty: Int32, range: Some((1, i64::MAX)), numbers: &[2], ..F },
    Field { name: "leaseTransitions", ty: Int32, range: Some((0, i64::MAX)), numbers: &[5], ..F },
    Field { name: "preferredHolder", ty: String, numbers: &[7], ..F },
    Field { name: "renewTime", ty: Time, numbers: &[4], ..F },
    Field { name: "strategy", ty: String, numbers: &[6], ..F },
] };

pub(crate) static CORE_V1_AWSELASTIC_BLOCK_STORE_VOLUME_SOURCE: Object = Object { name: "core.v1.AWSElasticBlockStoreVolumeSource", atomic: false, fields: &[
    Field { name: "fsType", ty: String, numbers: &[2], ..F },
    Field { name: "partition", ty: Int32, numbers: &[3], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[4], ..F },
    Field { name: "volumeID", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_AFFINITY: Object = Object { name: "core.v1.Affinity", atomic: false, fields: &[
    Field { name: "nodeAffinity", ty: Object(&CORE_V1_NODE_AFFINITY), numbers: &[1], ..F },
    Field { name: "podAffinity", ty: Object(&CORE_V1_POD_AFFINITY), numbers: &[2], ..F },
    Field { name: "podAntiAffinity", ty: Object(&CORE_V1_POD_ANTI_AFFINITY), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_APP_ARMOR_PROFILE: Object = Object { name: "core.v1.AppArmorProfile", atomic: false, fields: &[
    Field { name: "localhostProfile", ty: String, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, values: &["Unconfined", "RuntimeDefault", "Localhost"], numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_ATTACHED_VOLUME: Object = Object { name: "core.v1.AttachedVolume", atomic: false, fields: &[
    Field { name: "devicePath", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_AZURE_DISK_VOLUME_SOURCE: Object = Object { name: "core.v1.AzureDiskVolumeSource", atomic: false, fields: &[
    Field { name: "cachingMode", ty: String, default: Some(Literal::Str("ReadWrite")), values: &["None", "ReadOnly", "ReadWrite"], numbers: &[3], ..F },
    Field { name: "diskName", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "diskURI", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "fsType", ty: String, default: Some(Literal::Str("ext4")), numbers: &[4], ..F },
    Field { name: "kind", ty: String, default: Some(Literal::Str("Shared")), values: &["Shared", "Dedicated", "Managed"], numbers: &[6], ..F },
    Field { name: "readOnly", ty: Bool, default: Some(Literal::Bool(false)), numbers: &[5], ..F },
] };

pub(crate) static CORE_V1_AZURE_FILE_PERSISTENT_VOLUME_SOURCE: Object = Object { name: "core.v1.AzureFilePersistentVolumeSource", atomic: false, fields: &[
    Field { name: "readOnly", ty: Bool, numbers: &[3], ..F },
    Field { name: "secretName", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "secretNamespace", ty: String, numbers: &[4], ..F },
    Field { name: "shareName", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_AZURE_FILE_VOLUME_SOURCE: Object = Object { name: "core.v1.AzureFileVolumeSource", atomic: false, fields: &[
    Field { name: "readOnly", ty: Bool, numbers: &[3], ..F },
    Field { name: "secretName", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "shareName", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_BINDING: Object = Object { name: "core.v1.Binding", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "target", ty: Object(&CORE_V1_OBJECT_REFERENCE), required: true, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_CSIPERSISTENT_VOLUME_SOURCE: Object = Object { name: "core.v1.CSIPersistentVolumeSource", atomic: false, fields: &[
    Field { name: "controllerExpandSecretRef", ty: Object(&CORE_V1_SECRET_REFERENCE), numbers: &[9], ..F },
    Field { name: "controllerPublishSecretRef", ty: Object(&CORE_V1_SECRET_REFERENCE), numbers: &[6], ..F },
    Field { name: "driver", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "fsType", ty: String, numbers: &[4], ..F },
    Field { name: "nodeExpandSecretRef", ty: Object(&CORE_V1_SECRET_REFERENCE), numbers: &[10], ..F },
    Field { name: "nodePublishSecretRef", ty: Object(&CORE_V1_SECRET_REFERENCE), numbers: &[8], ..F },
    Field { name: "nodeStageSecretRef", ty: Object(&CORE_V1_SECRET_REFERENCE), numbers: &[7], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[3], ..F },
    Field { name: "volumeAttributes", ty: Map(&String), numbers: &[5], ..F },
    Field { name: "volumeHandle", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_CSIVOLUME_SOURCE: Object = Object { name: "core.v1.CSIVolumeSource", atomic: false, fields: &[
    Field { name: "driver", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "fsType", ty: String, numbers: &[3], ..F },
    Field { name: "nodePublishSecretRef", ty: Object(&CORE_V1_LOCAL_OBJECT_REFERENCE), numbers: &[5], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[2], ..F },
    Field { name: "volumeAttributes", ty: Map(&String), numbers: &[4], ..F },
] };

pub(crate) static CORE_V1_CAPABILITIES: Object = Object { name: "core.v1.Capabilities", atomic: false, fields: &[
    Field { name: "add", ty: List(&String), numbers: &[1], ..F },
    Field { name: "drop", ty: List(&String), numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_CEPH_FSPERSISTENT_VOLUME_SOURCE: Object = Object { name: "core.v1.CephFSPersistentVolumeSource", atomic: false, fields: &[
    Field { name: "monitors", ty: List(&String), required: true, numbers: &[1], ..F },
    Field { name: "path", ty: String, numbers: &[2], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[6], ..F },
    Field { name: "secretFile", ty: String, numbers: &[4], ..F },
    Field { name: "secretRef", ty: Object(&CORE_V1_SECRET_REFERENCE), numbers: &[5], ..F },
    Field { name: "user", ty: String, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_CEPH_FSVOLUME_SOURCE: Object = Object { name: "core.v1.CephFSVolumeSource", atomic: false, fields: &[
    Field { name: "monitors", ty: List(&String), required: true, numbers: &[1], ..F },
    Field { name: "path", ty: String, numbers: &[2], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[6], ..F },
    Field { name: "secretFile", ty: String, numbers: &[4], ..F },
    Field { name: "secretRef", ty: Object(&CORE_V1_LOCAL_OBJECT_REFERENCE), numbers: &[5], ..F },
    Field { name: "user", ty: String, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_CINDER_PERSISTENT_VOLUME_SOURCE: Object = Object { name: "core.v1.CinderPersistentVolumeSource", atomic: false, fields: &[
    Field { name: "fsType", ty: String, numbers: &[2], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[3], ..F },
    Field { name: "secretRef", ty: Object(&CORE_V1_SECRET_REFERENCE), numbers: &[4], ..F },
    Field { name: "volumeID", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_CINDER_VOLUME_SOURCE: Object = Object { name: "core.v1.CinderVolumeSource", atomic: false, fields: &[
    Field { name: "fsType", ty: String, numbers: &[2], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[3], ..F },
    Field { name: "secretRef", ty: Object(&CORE_V1_LOCAL_OBJECT_REFERENCE), numbers: &[4], ..F },
    Field { name: "volumeID", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_CLIENT_IPCONFIG: Object = Object { name: "core.v1.ClientIPConfig", atomic: false, fields: &[
    Field { name: "timeoutSeconds", ty: Int32, range: Some((1, 86400)), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_CLUSTER_TRUST_BUNDLE_PROJECTION: Object = Object { name: "core.v1.ClusterTrustBundleProjection", atomic: false, fields: &[
    Field { name: "labelSelector", ty: Object(&META_V1_LABEL_SELECTOR), numbers: &[3], ..F },
    Field { name: "name", ty: String, numbers: &[1], ..F },
    Field { name: "optional", ty: Bool, numbers: &[5], ..F },
    Field { name: "path", ty: String, required: true, numbers: &[4], ..F },
    Field { name: "signerName", ty: String, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_COMPONENT_CONDITION: Object = Object { name: "core.v1.ComponentCondition", atomic: false, fields: &[
    Field { name: "error", ty: String, numbers: &[4], ..F },
    Field { name: "message", ty: String, numbers: &[3], ..F },
    Field { name: "status", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_COMPONENT_STATUS: Object = Object { name: "core.v1.ComponentStatus", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "conditions", ty: List(&Object(&CORE_V1_COMPONENT_CONDITION)), list: ListType::Map(&["type"]), patch: Patch::MergeBy("type"), numbers: &[2], ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_CONFIG_MAP: Object = Object { name: "core.v1.ConfigMap", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "binaryData", ty: Map(&Bytes), numbers: &[3], ..F },
    Field { name: "data", ty: Map(&String), numbers: &[2], ..F },
    Field { name: "immutable", ty: Bool, numbers: &[4], ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_CONFIG_MAP_ENV_SOURCE: Object = Object { name: "core.v1.ConfigMapEnvSource", atomic: false, fields: &[
    Field { name: "name", ty: String, numbers: &[1, 1], ..F },
    Field { name: "optional", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_CONFIG_MAP_KEY_SELECTOR: Object = Object { name: "core.v1.ConfigMapKeySelector", atomic: true, fields: &[
    Field { name: "key", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "name", ty: String, numbers: &[1, 1], ..F },
    Field { name: "optional", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_CONFIG_MAP_NODE_CONFIG_SOURCE: Object = Object { name: "core.v1.ConfigMapNodeConfigSource", atomic: false, fields: &[
    Field { name: "kubeletConfigKey", ty: String, required: true, numbers: &[5], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "namespace", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "resourceVersion", ty: String, numbers: &[4], ..F },
    Field { name: "uid", ty: String, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_CONFIG_MAP_PROJECTION: Object = Object { name: "core.v1.ConfigMapProjection", atomic: false, fields: &[
    Field { name: "items", ty: List(&Object(&CORE_V1_KEY_TO_PATH)), numbers: &[2], ..F },
    Field { name: "name", ty: String, numbers: &[1, 1], ..F },
    Field { name: "optional", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[4], ..F },
] };

pub(crate) static CORE_V1_CONFIG_MAP_VOLUME_SOURCE: Object = Object { name: "core.v1.ConfigMapVolumeSource", atomic: false, fields: &[
    Field { name: "defaultMode", ty: Int32, default: Some(Literal::Int(420)), range: Some((0, 511)), numbers: &[3], ..F },
    Field { name: "items", ty: List(&Object(&CORE_V1_KEY_TO_PATH)), numbers: &[2], ..F },
    Field { name: "name", ty: String, numbers: &[1, 1], ..F },
    Field { name: "optional", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[4], ..F },
] };

pub(crate) static CORE_V1_CONTAINER: Object = Object { name: "core.v1.Container", atomic: false, fields: &[
    Field { name: "args", ty: List(&String), numbers: &[4], ..F },
    Field { name: "command", ty: List(&String), numbers: &[3], ..F },
    Field { name: "env", ty: List(&Object(&CORE_V1_ENV_VAR)), list: ListType::Map(&["name"]), patch: Patch::MergeBy("name"), numbers: &[7], ..F },
    Field { name: "envFrom", ty: List(&Object(&CORE_V1_ENV_FROM_SOURCE)), numbers: &[19], ..F },
    Field { name: "image", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "imagePullPolicy", ty: String, values: &["Always", "Never", "IfNotPresent"], numbers: &[14], ..F },
    Field { name: "lifecycle", ty: Object(&CORE_V1_LIFECYCLE), numbers: &[12], ..F },
    Field { name: "livenessProbe", ty: Object(&CORE_V1_PROBE), numbers: &[10], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "ports", ty: List(&Object(&CORE_V1_CONTAINER_PORT)), list: ListType::Map(&["containerPort", "protocol"]), patch: Patch::MergeBy("containerPort"), numbers: &[6], ..F },
    Field { name: "readinessProbe", ty: Object(&CORE_V1_PROBE), numbers: &[11], ..F },
    Field { name: "resizePolicy", ty: List(&Object(&CORE_V1_CONTAINER_RESIZE_POLICY)), support: Support::Ignored { accepted: &[], note: "pods are not resized in place" }, numbers: &[23], ..F },
    Field { name: "resources", ty: Object(&CORE_V1_RESOURCE_REQUIREMENTS), numbers: &[8], ..F },
    Field { name: "restartPolicy", ty: String, values: &["Always", "Never", "OnFailure"], numbers: &[24], ..F },
    Field { name: "restartPolicyRules", ty: List(&Object(&CORE_V1_CONTAINER_RESTART_RULE)), support: Support::Refused { accepted: &[], note: "" }, numbers: &[25], ..F },
    Field { name: "securityContext", ty: Object(&CORE_V1_SECURITY_CONTEXT), numbers: &[15], ..F },
    Field { name: "startupProbe", ty: Object(&CORE_V1_PROBE), numbers: &[22], ..F },
    Field { name: "stdin", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[16], ..F },
    Field { name: "stdinOnce", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[17], ..F },
    Field { name: "terminationMessagePath", ty: String, default: Some(Literal::Str("/dev/termination-log")), numbers: &[13], ..F },
    Field { name: "terminationMessagePolicy", ty: String, default: Some(Literal::Str("File")), values: &["File", "FallbackToLogsOnError"], support: Support::Ignored { accepted: &["File"], note: "a last message is read from its file alone" }, numbers: &[20], ..F },
    Field { name: "tty", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[18], ..F },
    Field { name: "volumeDevices", ty: List(&Object(&CORE_V1_VOLUME_DEVICE)), list: ListType::Map(&["devicePath"]), patch: Patch::MergeBy("devicePath"), support: Support::Refused { accepted: &[], note: "" }, numbers: &[21], ..F },
    Field { name: "volumeMounts", ty: List(&Object(&CORE_V1_VOLUME_MOUNT)), list: ListType::Map(&["mountPath"]), patch: Patch::MergeBy("mountPath"), numbers: &[9], ..F },
    Field { name: "workingDir", ty: String, numbers: &[5], ..F },
] };

pub(crate) static CORE_V1_CONTAINER_EXTENDED_RESOURCE_REQUEST: Object = Object { name: "core.v1.ContainerExtendedResourceRequest", atomic: false, fields: &[
    Field { name: "containerName", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "requestName", ty: String, required: true, numbers: &[3], ..F },
    Field { name: "resourceName", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_CONTAINER_IMAGE: Object = Object { name: "core.v1.ContainerImage", atomic: false, fields: &[
    Field { name: "names", ty: List(&String), numbers: &[1], ..F },
    Field { name: "sizeBytes", ty: Int64, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_CONTAINER_PORT: Object = Object { name: "core.v1.ContainerPort", atomic: false, fields: &[
    Field { name: "containerPort", ty: Int32, required: true, range: Some((1, 65535)), numbers: &[3], ..F },
    Field { name: "hostIP", ty: String, numbers: &[5], ..F },
    Field { name: "hostPort", ty: Int32, range: Some((0, 65535)), absent: Some(Literal::Int(0)), numbers: &[2], ..F },
    Field { name: "name", ty: String, numbers: &[1], ..F },
    Field { name: "protocol", ty: String, default: Some(Literal::Str("TCP")), values: &["TCP", "UDP", "SCTP"], numbers: &[4], ..F },
] };

pub(crate) static CORE_V1_CONTAINER_RESIZE_POLICY: Object = Object { name: "core.v1.ContainerResizePolicy", atomic: false, fields: &[
    Field { name: "resourceName", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "restartPolicy", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_CONTAINER_RESTART_RULE: Object = Object { name: "core.v1.ContainerRestartRule", atomic: false, fields: &[
    Field { name: "action", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "exitCodes", ty: Object(&CORE_V1_CONTAINER_RESTART_RULE_ON_EXIT_CODES), numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_CONTAINER_RESTART_RULE_ON_EXIT_CODES: Object = Object { name: "core.v1.ContainerRestartRuleOnExitCodes", atomic: false, fields: &[
    Field { name: "operator", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "values", ty: List(&Int32), list: ListType::Set, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_CONTAINER_STATE: Object = Object { name: "core.v1.ContainerState", atomic: false, fields: &[
    Field { name: "running", ty: Object(&CORE_V1_CONTAINER_STATE_RUNNING), numbers: &[2], ..F },
    Field { name: "terminated", ty: Object(&CORE_V1_CONTAINER_STATE_TERMINATED), numbers: &[3], ..F },
    Field { name: "waiting", ty: Object(&CORE_V1_CONTAINER_STATE_WAITING), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_CONTAINER_STATE_RUNNING: Object = Object { name: "core.v1.ContainerStateRunning", atomic: false, fields: &[
    Field { name: "startedAt", ty: Time, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_CONTAINER_STATE_TERMINATED: Object = Object { name: "core.v1.ContainerStateTerminated", atomic: false, fields: &[
    Field { name: "containerID", ty: String, numbers: &[7], ..F },
    Field { name: "exitCode", ty: Int32, required: true, numbers: &[1], ..F },
    Field { name: "finishedAt", ty: Time, numbers: &[6], ..F },
    Field { name: "message", ty: String, numbers: &[4], ..F },
    Field { name: "reason", ty: String, numbers: &[3], ..F },
    Field { name: "signal", ty: Int32, numbers: &[2], ..F },
    Field { name: "startedAt", ty: Time, numbers: &[5], ..F },
] };

pub(crate) static CORE_V1_CONTAINER_STATE_WAITING: Object = Object { name: "core.v1.ContainerStateWaiting", atomic: false, fields: &[
    Field { name: "message", ty: String, numbers: &[2], ..F },
    Field { name: "reason", ty: String, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_CONTAINER_STATUS: Object = Object { name: "core.v1.ContainerStatus", atomic: false, fields: &[
    Field { name: "allocatedResources", ty: Map(&Quantity), numbers: &[10], ..F },
    Field { name: "allocatedResourcesStatus", ty: List(&Object(&CORE_V1_RESOURCE_STATUS)), list: ListType::Map(&["name"]), patch: Patch::MergeBy("name"), numbers: &[14], ..F },
    Field { name: "containerID", ty: String, numbers: &[8], ..F },
    Field { name: "image", ty: String, required: true, numbers: &[6], ..F },
    Field { name: "imageID", ty: String, required: true, numbers: &[7], ..F },
    Field { name: "lastState", ty: Object(&CORE_V1_CONTAINER_STATE), numbers: &[3], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "ready", ty: Bool, required: true, numbers: &[4], ..F },
    Field { name: "resources", ty: Object(&CORE_V1_RESOURCE_REQUIREMENTS), numbers: &[11], ..F },
    Field { name: "restartCount", ty: Int32, required: true, numbers: &[5], ..F },
    Field { name: "started", ty: Bool, numbers: &[9], ..F },
    Field { name: "state", ty: Object(&CORE_V1_CONTAINER_STATE), numbers: &[2], ..F },
    Field { name: "stopSignal", ty: String, values: &["SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGIO", "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGSEGV", "SIGSTKFLT", "SIGSTOP", "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ", "SIGRTMIN", "SIGRTMIN+1", "SIGRTMIN+2", "SIGRTMIN+3", "SIGRTMIN+4", "SIGRTMIN+5", "SIGRTMIN+6", "SIGRTMIN+7", "SIGRTMIN+8", "SIGRTMIN+9", "SIGRTMIN+10", "SIGRTMIN+11", "SIGRTMIN+12", "SIGRTMIN+13", "SIGRTMIN+14", "SIGRTMIN+15", "SIGRTMAX-14", "SIGRTMAX-13", "SIGRTMAX-12", "SIGRTMAX-11", "SIGRTMAX-10", "SIGRTMAX-9", "SIGRTMAX-8", "SIGRTMAX-7", "SIGRTMAX-6", "SIGRTMAX-5", "SIGRTMAX-4", "SIGRTMAX-3", "SIGRTMAX-2", "SIGRTMAX-1", "SIGRTMAX"], numbers: &[15], ..F },
    Field { name: "user", ty: Object(&CORE_V1_CONTAINER_USER), numbers: &[13], ..F },
    Field { name: "volumeMounts", ty: List(&Object(&CORE_V1_VOLUME_MOUNT_STATUS)), list: ListType::Map(&["mountPath"]), patch: Patch::MergeBy("mountPath"), numbers: &[12], ..F },
] };

pub(crate) static CORE_V1_CONTAINER_USER: Object = Object { name: "core.v1.ContainerUser", atomic: false, fields: &[
    Field { name: "linux", ty: Object(&CORE_V1_LINUX_CONTAINER_USER), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_DAEMON_ENDPOINT: Object = Object { name: "core.v1.DaemonEndpoint", atomic: false, fields: &[
    Field { name: "Port", ty: Int32, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_DOWNWARD_APIPROJECTION: Object = Object { name: "core.v1.DownwardAPIProjection", atomic: false, fields: &[
    Field { name: "items", ty: List(&Object(&CORE_V1_DOWNWARD_APIVOLUME_FILE)), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_DOWNWARD_APIVOLUME_FILE: Object = Object { name: "core.v1.DownwardAPIVolumeFile", atomic: false, fields: &[
    Field { name: "fieldRef", ty: Object(&CORE_V1_OBJECT_FIELD_SELECTOR), numbers: &[2], ..F },
    Field { name: "mode", ty: Int32, range: Some((0, 511)), numbers: &[4], ..F },
    Field { name: "path", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "resourceFieldRef", ty: Object(&CORE_V1_RESOURCE_FIELD_SELECTOR), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_DOWNWARD_APIVOLUME_SOURCE: Object = Object { name: "core.v1.DownwardAPIVolumeSource", atomic: false, fields: &[
    Field { name: "defaultMode", ty: Int32, default: Some(Literal::Int(420)), range: Some((0, 511)), numbers: &[2], ..F },
    Field { name: "items", ty: List(&Object(&CORE_V1_DOWNWARD_APIVOLUME_FILE)), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_EMPTY_DIR_VOLUME_SOURCE: Object = Object { name: "core.v1.EmptyDirVolumeSource", atomic: false, fields: &[
    Field { name: "medium", ty: String, values: &["", "Memory", "HugePages"], support: Support::Refused { accepted: &["Memory"], note: "" }, numbers: &[1], ..F },
    Field { name: "sizeLimit", ty: Quantity, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_ENDPOINT_ADDRESS: Object = Object { name: "core.v1.EndpointAddress", atomic: true, fields: &[
    Field { name: "hostname", ty: String, numbers: &[3], ..F },
    Field { name: "ip", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "nodeName", ty: String, numbers: &[4], ..F },
    Field { name: "targetRef", ty: Object(&CORE_V1_OBJECT_REFERENCE), numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_ENDPOINT_PORT: Object = Object { name: "core.v1.EndpointPort", atomic: false, fields: &[
    Field { name: "appProtocol", ty: String, numbers: &[4], ..F },
    Field { name: "name", ty: String, numbers: &[1], ..F },
    Field { name: "port", ty: Int32, required: true, numbers: &[2], ..F },
    Field { name: "protocol", ty: String, default: Some(Literal::Str("TCP")), values: &["TCP", "UDP", "SCTP"], support: Support::Refused { accepted: &["TCP", "UDP"], note: "" }, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_ENDPOINT_SUBSET: Object = Object { name: "core.v1.EndpointSubset", atomic: false, fields: &[
    Field { name: "addresses", ty: List(&Object(&CORE_V1_ENDPOINT_ADDRESS)), numbers: &[1], ..F },
    Field { name: "notReadyAddresses", ty: List(&Object(&CORE_V1_ENDPOINT_ADDRESS)), numbers: &[2], ..F },
    Field { name: "ports", ty: List(&Object(&CORE_V1_ENDPOINT_PORT)), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_ENDPOINTS: Object = Object { name: "core.v1.Endpoints", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "subsets", ty: List(&Object(&CORE_V1_ENDPOINT_SUBSET)), numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_ENV_FROM_SOURCE: Object = Object { name: "core.v1.EnvFromSource", atomic: false, fields: &[
    Field { name: "configMapRef", ty: Object(&CORE_V1_CONFIG_MAP_ENV_SOURCE), numbers: &[2], ..F },
    Field { name: "prefix", ty: String, numbers: &[1], ..F },
    Field { name: "secretRef", ty: Object(&CORE_V1_SECRET_ENV_SOURCE), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_ENV_VAR: Object = Object { name: "core.v1.EnvVar", atomic: false, fields: &[
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "value", ty: String, numbers: &[2], ..F },
    Field { name: "valueFrom", ty: Object(&CORE_V1_ENV_VAR_SOURCE), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_ENV_VAR_SOURCE: Object = Object { name: "core.v1.EnvVarSource", atomic: false, fields: &[
    Field { name: "configMapKeyRef", ty: Object(&CORE_V1_CONFIG_MAP_KEY_SELECTOR), numbers: &[3], ..F },
    Field { name: "fieldRef", ty: Object(&CORE_V1_OBJECT_FIELD_SELECTOR), numbers: &[1], ..F },
    Field { name: "fileKeyRef", ty: Object(&CORE_V1_FILE_KEY_SELECTOR), support: Support::Refused { accepted: &[], note: "" }, numbers: &[5], ..F },
    Field { name: "resourceFieldRef", ty: Object(&CORE_V1_RESOURCE_FIELD_SELECTOR), numbers: &[2], ..F },
    Field { name: "secretKeyRef", ty: Object(&CORE_V1_SECRET_KEY_SELECTOR), numbers: &[4], ..F },
] };

pub(crate) static CORE_V1_EPHEMERAL_CONTAINER: Object = Object { name: "core.v1.EphemeralContainer", atomic: false, fields: &[
    Field { name: "args", ty: List(&String), numbers: &[1, 4], ..F },
    Field { name: "command", ty: List(&String), numbers: &[1, 3], ..F },
    Field { name: "env", ty: List(&Object(&CORE_V1_ENV_VAR)), list: ListType::Map(&["name"]), patch: Patch::MergeBy("name"), numbers: &[1, 7], ..F },
    Field { name: "envFrom", ty: List(&Object(&CORE_V1_ENV_FROM_SOURCE)), numbers: &[1, 19], ..F },
    Field { name: "image", ty: String, numbers: &[1, 2], ..F },
    Field { name: "imagePullPolicy", ty: String, numbers: &[1, 14], ..F },
    Field { name: "lifecycle", ty: Object(&CORE_V1_LIFECYCLE), numbers: &[1, 12], ..F },
    Field { name: "livenessProbe", ty: Object(&CORE_V1_PROBE), numbers: &[1, 10], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[1, 1], ..F },
    Field { name: "ports", ty: List(&Object(&CORE_V1_CONTAINER_PORT)), list: ListType::Map(&["containerPort", "protocol"]), patch: Patch::MergeBy("containerPort"), numbers: &[1, 6], ..F },
    Field { name: "readinessProbe", ty: Object(&CORE_V1_PROBE), numbers: &[1, 11], ..F },
    Field { name: "resizePolicy", ty: List(&Object(&CORE_V1_CONTAINER_RESIZE_POLICY)), numbers: &[1, 23], ..F },
    Field { name: "resources", ty: Object(&CORE_V1_RESOURCE_REQUIREMENTS), numbers: &[1, 8], ..F },
    Field { name: "restartPolicy", ty: String, numbers: &[1, 24], ..F },
    Field { name: "restartPolicyRules", ty: List(&Object(&CORE_V1_CONTAINER_RESTART_RULE)), support: Support::Refused { accepted: &[], note: "" }, numbers: &[1, 25], ..F },
    Field { name: "securityContext", ty: Object(&CORE_V1_SECURITY_CONTEXT), numbers: &[1, 15], ..F },
    Field { name: "startupProbe", ty: Object(&CORE_V1_PROBE), numbers: &[1, 22], ..F },
    Field { name: "stdin", ty: Bool, numbers: &[1, 16], ..F },
    Field { name: "stdinOnce", ty: Bool, numbers: &[1, 17], ..F },
    Field { name: "targetContainerName", ty: String, numbers: &[2], ..F },
    Field { name: "terminationMessagePath", ty: String, numbers: &[1, 13], ..F },
    Field { name: "terminationMessagePolicy", ty: String, support: Support::Ignored { accepted: &["File"], note: "a last message is read from its file alone" }, numbers: &[1, 20], ..F },
    Field { name: "tty", ty: Bool, numbers: &[1, 18], ..F },
    Field { name: "volumeDevices", ty: List(&Object(&CORE_V1_VOLUME_DEVICE)), list: ListType::Map(&["devicePath"]), patch: Patch::MergeBy("devicePath"), support: Support::Refused { accepted: &[], note: "" }, numbers: &[1, 21], ..F },
    Field { name: "volumeMounts", ty: List(&Object(&CORE_V1_VOLUME_MOUNT)), list: ListType::Map(&["mountPath"]), patch: Patch::MergeBy("mountPath"), numbers: &[1, 9], ..F },
    Field { name: "workingDir", ty: String, numbers: &[1, 5], ..F },
] };

pub(crate) static CORE_V1_EPHEMERAL_VOLUME_SOURCE: Object = Object { name: "core.v1.EphemeralVolumeSource", atomic: false, fields: &[
    Field { name: "volumeClaimTemplate", ty: Object(&CORE_V1_PERSISTENT_VOLUME_CLAIM_TEMPLATE), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_EVENT: Object = Object { name: "core.v1.Event", atomic: false, fields: &[
    Field { name: "action", ty: String, numbers: &[12], ..F },
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "count", ty: Int32, numbers: &[8], ..F },
    Field { name: "eventTime", ty: Time, numbers: &[10], ..F },
    Field { name: "firstTimestamp", ty: Time, numbers: &[6], ..F },
    Field { name: "involvedObject", ty: Object(&CORE_V1_OBJECT_REFERENCE), required: true, numbers: &[2], ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "lastTimestamp", ty: Time, numbers: &[7], ..F },
    Field { name: "message", ty: String, numbers: &[4], ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), required: true, numbers: &[1], ..F },
    Field { name: "reason", ty: String, numbers: &[3], ..F },
    Field { name: "related", ty: Object(&CORE_V1_OBJECT_REFERENCE), numbers: &[13], ..F },
    Field { name: "reportingComponent", ty: String, numbers: &[14], ..F },
    Field { name: "reportingInstance", ty: String, numbers: &[15], ..F },
    Field { name: "series", ty: Object(&CORE_V1_EVENT_SERIES), numbers: &[11], ..F },
    Field { name: "source", ty: Object(&CORE_V1_EVENT_SOURCE), numbers: &[5], ..F },
    Field { name: "type", ty: String, numbers: &[9], ..F },
] };

pub(crate) static CORE_V1_EVENT_SERIES: Object = Object { name: "core.v1.EventSeries", atomic: false, fields: &[
    Field { name: "count", ty: Int32, numbers: &[1], ..F },
    Field { name: "lastObservedTime", ty: Time, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_EVENT_SOURCE: Object = Object { name: "core.v1.EventSource", atomic: false, fields: &[
    Field { name: "component", ty: String, numbers: &[1], ..F },
    Field { name: "host", ty: String, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_EXEC_ACTION: Object = Object { name: "core.v1.ExecAction", atomic: false, fields: &[
    Field { name: "command", ty: List(&String), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_FCVOLUME_SOURCE: Object = Object { name: "core.v1.FCVolumeSource", atomic: false, fields: &[
    Field { name: "fsType", ty: String, numbers: &[3], ..F },
    Field { name: "lun", ty: Int32, numbers: &[2], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[4], ..F },
    Field { name: "targetWWNs", ty: List(&String), numbers: &[1], ..F },
    Field { name: "wwids", ty: List(&String), numbers: &[5], ..F },
] };

pub(crate) static CORE_V1_FILE_KEY_SELECTOR: Object = Object { name: "core.v1.FileKeySelector", atomic: true, fields: &[
    Field { name: "key", ty: String, required: true, numbers: &[3], ..F },
    Field { name: "optional", ty: Bool, default: Some(Literal::Bool(false)), numbers: &[4], ..F },
    Field { name: "path", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "volumeName", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_FLEX_PERSISTENT_VOLUME_SOURCE: Object = Object { name: "core.v1.FlexPersistentVolumeSource", atomic: false, fields: &[
    Field { name: "driver", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "fsType", ty: String, numbers: &[2], ..F },
    Field { name: "options", ty: Map(&String), numbers: &[5], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[4], ..F },
    Field { name: "secretRef", ty: Object(&CORE_V1_SECRET_REFERENCE), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_FLEX_VOLUME_SOURCE: Object = Object { name: "core.v1.FlexVolumeSource", atomic: false, fields: &[
    Field { name: "driver", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "fsType", ty: String, numbers: &[2], ..F },
    Field { name: "options", ty: Map(&String), numbers: &[5], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[4], ..F },
    Field { name: "secretRef", ty: Object(&CORE_V1_LOCAL_OBJECT_REFERENCE), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_FLOCKER_VOLUME_SOURCE: Object = Object { name: "core.v1.FlockerVolumeSource", atomic: false, fields: &[
    Field { name: "datasetName", ty: String, numbers: &[1], ..F },
    Field { name: "datasetUUID", ty: String, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_GCEPERSISTENT_DISK_VOLUME_SOURCE: Object = Object { name: "core.v1.GCEPersistentDiskVolumeSource", atomic: false, fields: &[
    Field { name: "fsType", ty: String, numbers: &[2], ..F },
    Field { name: "partition", ty: Int32, numbers: &[3], ..F },
    Field { name: "pdName", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[4], ..F },
] };

pub(crate) static CORE_V1_GRPCACTION: Object = Object { name: "core.v1.GRPCAction", atomic: false, fields: &[
    Field { name: "port", ty: Int32, required: true, numbers: &[1], ..F },
    Field { name: "service", ty: String, default: Some(Literal::Str("")), numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_GIT_REPO_VOLUME_SOURCE: Object = Object { name: "core.v1.GitRepoVolumeSource", atomic: false, fields: &[
    Field { name: "directory", ty: String, numbers: &[3], ..F },
    Field { name: "repository", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "revision", ty: String, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_GLUSTERFS_PERSISTENT_VOLUME_SOURCE: Object = Object { name: "core.v1.GlusterfsPersistentVolumeSource", atomic: false, fields: &[
    Field { name: "endpoints", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "endpointsNamespace", ty: String, numbers: &[4], ..F },
    Field { name: "path", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_GLUSTERFS_VOLUME_SOURCE: Object = Object { name: "core.v1.GlusterfsVolumeSource", atomic: false, fields: &[
    Field { name: "endpoints", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "path", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_HTTPGET_ACTION: Object = Object { name: "core.v1.HTTPGetAction", atomic: false, fields: &[
    Field { name: "host", ty: String, numbers: &[3], ..F },
    Field { name: "httpHeaders", ty: List(&Object(&CORE_V1_HTTPHEADER)), numbers: &[5], ..F },
    Field { name: "path", ty: String, default: Some(Literal::Str("/")), numbers: &[1], ..F },
    Field { name: "port", ty: IntOrString, required: true, numbers: &[2], ..F },
    Field { name: "scheme", ty: String, default: Some(Literal::Str("HTTP")), values: &["HTTP", "HTTPS"], numbers: &[4], ..F },
] };

pub(crate) static CORE_V1_HTTPHEADER: Object = Object { name: "core.v1.HTTPHeader", atomic: false, fields: &[
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "value", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_HOST_ALIAS: Object = Object { name: "core.v1.HostAlias", atomic: false, fields: &[
    Field { name: "hostnames", ty: List(&String), numbers: &[2], ..F },
    Field { name: "ip", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_HOST_IP: Object = Object { name: "core.v1.HostIP", atomic: false, fields: &[
    Field { name: "ip", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_HOST_PATH_VOLUME_SOURCE: Object = Object { name: "core.v1.HostPathVolumeSource", atomic: false, fields: &[
    Field { name: "path", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "type", ty: String, default: Some(Literal::Str("")), values: &["", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"], numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_ISCSIPERSISTENT_VOLUME_SOURCE: Object = Object { name: "core.v1.ISCSIPersistentVolumeSource", atomic: false, fields: &[
    Field { name: "chapAuthDiscovery", ty: Bool, numbers: &[8], ..F },
    Field { name: "chapAuthSession", ty: Bool, numbers: &[11], ..F },
    Field { name: "fsType", ty: String, numbers: &[5], ..F },
    Field { name: "initiatorName", ty: String, numbers: &[12], ..F },
    Field { name: "iqn", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "iscsiInterface", ty: String, default: Some(Literal::Str("default")), numbers: &[4], ..F },
    Field { name: "lun", ty: Int32, required: true, numbers: &[3], ..F },
    Field { name: "portals", ty: List(&String), numbers: &[7], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[6], ..F },
    Field { name: "secretRef", ty: Object(&CORE_V1_SECRET_REFERENCE), numbers: &[10], ..F },
    Field { name: "targetPortal", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_ISCSIVOLUME_SOURCE: Object = Object { name: "core.v1.ISCSIVolumeSource", atomic: false, fields: &[
    Field { name: "chapAuthDiscovery", ty: Bool, numbers: &[8], ..F },
    Field { name: "chapAuthSession", ty: Bool, numbers: &[11], ..F },
    Field { name: "fsType", ty: String, numbers: &[5], ..F },
    Field { name: "initiatorName", ty: String, numbers: &[12], ..F },
    Field { name: "iqn", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "iscsiInterface", ty: String, default: Some(Literal::Str("default")), numbers: &[4], ..F },
    Field { name: "lun", ty: Int32, required: true, numbers: &[3], ..F },
    Field { name: "portals", ty: List(&String), numbers: &[7], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[6], ..F },
    Field { name: "secretRef", ty: Object(&CORE_V1_LOCAL_OBJECT_REFERENCE), numbers: &[10], ..F },
    Field { name: "targetPortal", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_IMAGE_VOLUME_SOURCE: Object = Object { name: "core.v1.ImageVolumeSource", atomic: false, fields: &[
    Field { name: "pullPolicy", ty: String, values: &["Always", "Never", "IfNotPresent"], numbers: &[2], ..F },
    Field { name: "reference", ty: String, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_IMAGE_VOLUME_STATUS: Object = Object { name: "core.v1.ImageVolumeStatus", atomic: false, fields: &[
    Field { name: "imageRef", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_KEY_TO_PATH: Object = Object { name: "core.v1.KeyToPath", atomic: false, fields: &[
    Field { name: "key", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "mode", ty: Int32, range: Some((0, 511)), numbers: &[3], ..F },
    Field { name: "path", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_LIFECYCLE: Object = Object { name: "core.v1.Lifecycle", atomic: false, fields: &[
    Field { name: "postStart", ty: Object(&CORE_V1_LIFECYCLE_HANDLER), numbers: &[1], ..F },
    Field { name: "preStop", ty: Object(&CORE_V1_LIFECYCLE_HANDLER), numbers: &[2], ..F },
    Field { name: "stopSignal", ty: String, values: &["SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGIO", "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGSEGV", "SIGSTKFLT", "SIGSTOP", "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ", "SIGRTMIN", "SIGRTMIN+1", "SIGRTMIN+2", "SIGRTMIN+3", "SIGRTMIN+4", "SIGRTMIN+5", "SIGRTMIN+6", "SIGRTMIN+7", "SIGRTMIN+8", "SIGRTMIN+9", "SIGRTMIN+10", "SIGRTMIN+11", "SIGRTMIN+12", "SIGRTMIN+13", "SIGRTMIN+14", "SIGRTMIN+15", "SIGRTMAX-14", "SIGRTMAX-13", "SIGRTMAX-12", "SIGRTMAX-11", "SIGRTMAX-10", "SIGRTMAX-9", "SIGRTMAX-8", "SIGRTMAX-7", "SIGRTMAX-6", "SIGRTMAX-5", "SIGRTMAX-4", "SIGRTMAX-3", "SIGRTMAX-2", "SIGRTMAX-1", "SIGRTMAX"], support: Support::Refused { accepted: &[], note: "" }, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_LIFECYCLE_HANDLER: Object = Object { name: "core.v1.LifecycleHandler", atomic: false, fields: &[
    Field { name: "exec", ty: Object(&CORE_V1_EXEC_ACTION), numbers: &[1], ..F },
    Field { name: "httpGet", ty: Object(&CORE_V1_HTTPGET_ACTION), numbers: &[2], ..F },
    Field { name: "sleep", ty: Object(&CORE_V1_SLEEP_ACTION), numbers: &[4], ..F },
    Field { name: "tcpSocket", ty: Object(&CORE_V1_TCPSOCKET_ACTION), support: Support::Refused { accepted: &[], note: "no handler in Kubernetes either" }, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_LIMIT_RANGE: Object = Object { name: "core.v1.LimitRange", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&CORE_V1_LIMIT_RANGE_SPEC), numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_LIMIT_RANGE_ITEM: Object = Object { name: "core.v1.LimitRangeItem", atomic: false, fields: &[
    Field { name: "default", ty: Map(&Quantity), numbers: &[4], ..F },
    Field { name: "defaultRequest", ty: Map(&Quantity), numbers: &[5], ..F },
    Field { name: "max", ty: Map(&Quantity), numbers: &[2], ..F },
    Field { name: "maxLimitRequestRatio", ty: Map(&Quantity), numbers: &[6], ..F },
    Field { name: "min", ty: Map(&Quantity), numbers: &[3], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_LIMIT_RANGE_SPEC: Object = Object { name: "core.v1.LimitRangeSpec", atomic: false, fields: &[
    Field { name: "limits", ty: List(&Object(&CORE_V1_LIMIT_RANGE_ITEM)), required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_LINUX_CONTAINER_USER: Object = Object { name: "core.v1.LinuxContainerUser", atomic: false, fields: &[
    Field { name: "gid", ty: Int64, required: true, numbers: &[2], ..F },
    Field { name: "supplementalGroups", ty: List(&Int64), numbers: &[3], ..F },
    Field { name: "uid", ty: Int64, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_LOAD_BALANCER_INGRESS: Object = Object { name: "core.v1.LoadBalancerIngress", atomic: false, fields: &[
    Field { name: "hostname", ty: String, numbers: &[2], ..F },
    Field { name: "ip", ty: String, numbers: &[1], ..F },
    Field { name: "ipMode", ty: String, numbers: &[3], ..F },
    Field { name: "ports", ty: List(&Object(&CORE_V1_PORT_STATUS)), numbers: &[4], ..F },
] };

pub(crate) static CORE_V1_LOAD_BALANCER_STATUS: Object = Object { name: "core.v1.LoadBalancerStatus", atomic: false, fields: &[
    Field { name: "ingress", ty: List(&Object(&CORE_V1_LOAD_BALANCER_INGRESS)), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_LOCAL_OBJECT_REFERENCE: Object = Object { name: "core.v1.LocalObjectReference", atomic: true, fields: &[
    Field { name: "name", ty: String, default: Some(Literal::Str("")), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_LOCAL_VOLUME_SOURCE: Object = Object { name: "core.v1.LocalVolumeSource", atomic: false, fields: &[
    Field { name: "fsType", ty: String, numbers: &[2], ..F },
    Field { name: "path", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_MODIFY_VOLUME_STATUS: Object = Object { name: "core.v1.ModifyVolumeStatus", atomic: false, fields: &[
    Field { name: "status", ty: String, required: true, values: &["Pending", "InProgress", "Infeasible"], numbers: &[2], ..F },
    Field { name: "targetVolumeAttributesClassName", ty: String, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_NFSVOLUME_SOURCE: Object = Object { name: "core.v1.NFSVolumeSource", atomic: false, fields: &[
    Field { name: "path", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[3], ..F },
    Field { name: "server", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_NAMESPACE: Object = Object { name: "core.v1.Namespace", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&CORE_V1_NAMESPACE_SPEC), numbers: &[2], ..F },
    Field { name: "status", ty: Object(&CORE_V1_NAMESPACE_STATUS), support: Support::Dropped, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_NAMESPACE_CONDITION: Object = Object { name: "core.v1.NamespaceCondition", atomic: false, fields: &[
    Field { name: "lastTransitionTime", ty: Time, numbers: &[4], ..F },
    Field { name: "message", ty: String, numbers: &[6], ..F },
    Field { name: "reason", ty: String, numbers: &[5], ..F },
    Field { name: "status", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_NAMESPACE_SPEC: Object = Object { name: "core.v1.NamespaceSpec", atomic: false, fields: &[
    Field { name: "finalizers", ty: List(&String), support: Support::Dropped, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_NAMESPACE_STATUS: Object = Object { name: "core.v1.NamespaceStatus", atomic: false, fields: &[
    Field { name: "conditions", ty: List(&Object(&CORE_V1_NAMESPACE_CONDITION)), list: ListType::Map(&["type"]), patch: Patch::MergeBy("type"), numbers: &[2], ..F },
    Field { name: "phase", ty: String, default: Some(Literal::Str("Active")), values: &["Active", "Terminating"], numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_NODE: Object = Object { name: "core.v1.Node", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&CORE_V1_NODE_SPEC), numbers: &[2], ..F },
    Field { name: "status", ty: Object(&CORE_V1_NODE_STATUS), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_NODE_ADDRESS: Object = Object { name: "core.v1.NodeAddress", atomic: false, fields: &[
    Field { name: "address", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_NODE_AFFINITY: Object = Object { name: "core.v1.NodeAffinity", atomic: false, fields: &[
    Field { name: "preferredDuringSchedulingIgnoredDuringExecution", ty: List(&Object(&CORE_V1_PREFERRED_SCHEDULING_TERM)), numbers: &[2], ..F },
    Field { name: "requiredDuringSchedulingIgnoredDuringExecution", ty: Object(&CORE_V1_NODE_SELECTOR), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_NODE_ALLOCATABLE_RESOURCE_CLAIM_STATUS: Object = Object { name: "core.v1.NodeAllocatableResourceClaimStatus", atomic: false, fields: &[
    Field { name: "containers", ty: List(&String), list: ListType::Set, numbers: &[2], ..F },
    Field { name: "resourceClaimName", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "resources", ty: Map(&Quantity), required: true, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_NODE_CONDITION: Object = Object { name: "core.v1.NodeCondition", atomic: false, fields: &[
    Field { name: "lastHeartbeatTime", ty: Time, numbers: &[3], ..F },
    Field { name: "lastTransitionTime", ty: Time, numbers: &[4], ..F },
    Field { name: "message", ty: String, numbers: &[6], ..F },
    Field { name: "reason", ty: String, numbers: &[5], ..F },
    Field { name: "status", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_NODE_CONFIG_SOURCE: Object = Object { name: "core.v1.NodeConfigSource", atomic: false, fields: &[
    Field { name: "configMap", ty: Object(&CORE_V1_CONFIG_MAP_NODE_CONFIG_SOURCE), numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_NODE_CONFIG_STATUS: Object = Object { name: "core.v1.NodeConfigStatus", atomic: false, fields: &[
    Field { name: "active", ty: Object(&CORE_V1_NODE_CONFIG_SOURCE), numbers: &[2], ..F },
    Field { name: "assigned", ty: Object(&CORE_V1_NODE_CONFIG_SOURCE), numbers: &[1], ..F },
    Field { name: "error", ty: String, numbers: &[4], ..F },
    Field { name: "lastKnownGood", ty: Object(&CORE_V1_NODE_CONFIG_SOURCE), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_NODE_DAEMON_ENDPOINTS: Object = Object { name: "core.v1.NodeDaemonEndpoints", atomic: false, fields: &[
    Field { name: "kubeletEndpoint", ty: Object(&CORE_V1_DAEMON_ENDPOINT), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_NODE_FEATURES: Object = Object { name: "core.v1.NodeFeatures", atomic: false, fields: &[
    Field { name: "supplementalGroupsPolicy", ty: Bool, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_NODE_RUNTIME_HANDLER: Object = Object { name: "core.v1.NodeRuntimeHandler", atomic: false, fields: &[
    Field { name: "features", ty: Object(&CORE_V1_NODE_RUNTIME_HANDLER_FEATURES), numbers: &[2], ..F },
    Field { name: "name", ty: String, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_NODE_RUNTIME_HANDLER_FEATURES: Object = Object { name: "core.v1.NodeRuntimeHandlerFeatures", atomic: false, fields: &[
    Field { name: "recursiveReadOnlyMounts", ty: Bool, numbers: &[1], ..F },
    Field { name: "userNamespaces", ty: Bool, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_NODE_SELECTOR: Object = Object { name: "core.v1.NodeSelector", atomic: true, fields: &[
    Field { name: "nodeSelectorTerms", ty: List(&Object(&CORE_V1_NODE_SELECTOR_TERM)), required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_NODE_SELECTOR_REQUIREMENT: Object = Object { name: "core.v1.NodeSelectorRequirement", atomic: false, fields: &[
    Field { name: "key", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "operator", ty: String, required: true, values: &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"], numbers: &[2], ..F },
    Field { name: "values", ty: List(&String), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_NODE_SELECTOR_TERM: Object = Object { name: "core.v1.NodeSelectorTerm", atomic: true, fields: &[
    Field { name: "matchExpressions", ty: List(&Object(&CORE_V1_NODE_SELECTOR_REQUIREMENT)), numbers: &[1], ..F },
    Field { name: "matchFields", ty: List(&Object(&CORE_V1_NODE_SELECTOR_REQUIREMENT)), numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_NODE_SPEC: Object = Object { name: "core.v1.NodeSpec", atomic: false, fields: &[
    Field { name: "configSource", ty: Object(&CORE_V1_NODE_CONFIG_SOURCE), numbers: &[6], ..F },
    Field { name: "externalID", ty: String, numbers: &[2], ..F },
    Field { name: "podCIDR", ty: String, numbers: &[1], ..F },
    Field { name: "podCIDRs", ty: List(&String), list: ListType::Set, patch: Patch::Merge, numbers: &[7], ..F },
    Field { name: "providerID", ty: String, numbers: &[3], ..F },
    Field { name: "taints", ty: List(&Object(&CORE_V1_TAINT)), numbers: &[5], ..F },
    Field { name: "unschedulable", ty: Bool, numbers: &[4], ..F },
] };

pub(crate) static CORE_V1_NODE_STATUS: Object = Object { name: "core.v1.NodeStatus", atomic: false, fields: &[
    Field { name: "addresses", ty: List(&Object(&CORE_V1_NODE_ADDRESS)), list: ListType::Map(&["type"]), patch: Patch::MergeBy("type"), numbers: &[5], ..F },
    Field { name: "allocatable", ty: Map(&Quantity), numbers: &[2], ..F },
    Field { name: "capacity", ty: Map(&Quantity), numbers: &[1], ..F },
    Field { name: "conditions", ty: List(&Object(&CORE_V1_NODE_CONDITION)), list: ListType::Map(&["type"]), patch: Patch::MergeBy("type"), numbers: &[4], ..F },
    Field { name: "config", ty: Object(&CORE_V1_NODE_CONFIG_STATUS), numbers: &[11], ..F },
    Field { name: "daemonEndpoints", ty: Object(&CORE_V1_NODE_DAEMON_ENDPOINTS), numbers: &[6], ..F },
    Field { name: "declaredFeatures", ty: List(&String), numbers: &[14], ..F },
    Field { name: "features", ty: Object(&CORE_V1_NODE_FEATURES), numbers: &[13], ..F },
    Field { name: "images", ty: List(&Object(&CORE_V1_CONTAINER_IMAGE)), numbers: &[8], ..F },
    Field { name: "nodeInfo", ty: Object(&CORE_V1_NODE_SYSTEM_INFO), numbers: &[7], ..F },
    Field { name: "phase", ty: String, values: &["Pending", "Running", "Terminated"], numbers: &[3], ..F },
    Field { name: "runtimeHandlers", ty: List(&Object(&CORE_V1_NODE_RUNTIME_HANDLER)), numbers: &[12], ..F },
    Field { name: "volumesAttached", ty: List(&Object(&CORE_V1_ATTACHED_VOLUME)), numbers: &[10], ..F },
    Field { name: "volumesInUse", ty: List(&String), numbers: &[9], ..F },
] };

pub(crate) static CORE_V1_NODE_SWAP_STATUS: Object = Object { name: "core.v1.NodeSwapStatus", atomic: false, fields: &[
    Field { name: "capacity", ty: Int64, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_NODE_SYSTEM_INFO: Object = Object { name: "core.v1.NodeSystemInfo", atomic: false, fields: &[
    Field { name: "architecture", ty: String, required: true, numbers: &[10], ..F },
    Field { name: "bootID", ty: String, required: true, numbers: &[3], ..F },
    Field { name: "containerRuntimeVersion", ty: String, required: true, numbers: &[6], ..F },
    Field { name: "kernelVersion", ty: String, required: true, numbers: &[4], ..F },
    Field { name: "kubeProxyVersion", ty: String, required: true, numbers: &[8], ..F },
    Field { name: "kubeletVersion", ty: String, required: true, numbers: &[7], ..F },
    Field { name: "machineID", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "operatingSystem", ty: String, required: true, numbers: &[9], ..F },
    Field { name: "osImage", ty: String, required: true, numbers: &[5], ..F },
    Field { name: "swap", ty: Object(&CORE_V1_NODE_SWAP_STATUS), numbers: &[11], ..F },
    Field { name: "systemUUID", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_OBJECT_FIELD_SELECTOR: Object = Object { name: "core.v1.ObjectFieldSelector", atomic: true, fields: &[
    Field { name: "apiVersion", ty: String, default: Some(Literal::Str("v1")), numbers: &[1], ..F },
    Field { name: "fieldPath", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_OBJECT_REFERENCE: Object = Object { name: "core.v1.ObjectReference", atomic: true, fields: &[
    Field { name: "apiVersion", ty: String, numbers: &[5], ..F },
    Field { name: "fieldPath", ty: String, numbers: &[7], ..F },
    Field { name: "kind", ty: String, numbers: &[1], ..F },
    Field { name: "name", ty: String, numbers: &[3], ..F },
    Field { name: "namespace", ty: String, numbers: &[2], ..F },
    Field { name: "resourceVersion", ty: String, numbers: &[6], ..F },
    Field { name: "uid", ty: String, numbers: &[4], ..F },
] };

pub(crate) static CORE_V1_PERSISTENT_VOLUME: Object = Object { name: "core.v1.PersistentVolume", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&CORE_V1_PERSISTENT_VOLUME_SPEC), numbers: &[2], ..F },
    Field { name: "status", ty: Object(&CORE_V1_PERSISTENT_VOLUME_STATUS), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_PERSISTENT_VOLUME_CLAIM: Object = Object { name: "core.v1.PersistentVolumeClaim", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&CORE_V1_PERSISTENT_VOLUME_CLAIM_SPEC), numbers: &[2], ..F },
    Field { name: "status", ty: Object(&CORE_V1_PERSISTENT_VOLUME_CLAIM_STATUS), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_PERSISTENT_VOLUME_CLAIM_CONDITION: Object = Object { name: "core.v1.PersistentVolumeClaimCondition", atomic: false, fields: &[
    Field { name: "lastProbeTime", ty: Time, numbers: &[3], ..F },
    Field { name: "lastTransitionTime", ty: Time, numbers: &[4], ..F },
    Field { name: "message", ty: String, numbers: &[6], ..F },
    Field { name: "reason", ty: String, numbers: &[5], ..F },
    Field { name: "status", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_PERSISTENT_VOLUME_CLAIM_SPEC: Object = Object { name: "core.v1.PersistentVolumeClaimSpec", atomic: false, fields: &[
    Field { name: "accessModes", ty: List(&String), values: &["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"], numbers: &[1], ..F },
    Field { name: "dataSource", ty: Object(&CORE_V1_TYPED_LOCAL_OBJECT_REFERENCE), numbers: &[7], ..F },
    Field { name: "dataSourceRef", ty: Object(&CORE_V1_TYPED_OBJECT_REFERENCE), numbers: &[8], ..F },
    Field { name: "resources", ty: Object(&CORE_V1_VOLUME_RESOURCE_REQUIREMENTS), numbers: &[2], ..F },
    Field { name: "selector", ty: Object(&META_V1_LABEL_SELECTOR), numbers: &[4], ..F },
    Field { name: "storageClassName", ty: String, numbers: &[5], ..F },
    Field { name: "volumeAttributesClassName", ty: String, numbers: &[9], ..F },
    Field { name: "volumeMode", ty: String, default: Some(Literal::Str("Filesystem")), values: &["Block", "Filesystem"], numbers: &[6], ..F },
    Field { name: "volumeName", ty: String, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_PERSISTENT_VOLUME_CLAIM_STATUS: Object = Object { name: "core.v1.PersistentVolumeClaimStatus", atomic: false, fields: &[
    Field { name: "accessModes", ty: List(&String), values: &["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"], numbers: &[2], ..F },
    Field { name: "allocatedResourceStatuses", ty: Map(&String), numbers: &[7], ..F },
    Field { name: "allocatedResources", ty: Map(&Quantity), numbers: &[5], ..F },
    Field { name: "capacity", ty: Map(&Quantity), numbers: &[3], ..F },
    Field { name: "conditions", ty: List(&Object(&CORE_V1_PERSISTENT_VOLUME_CLAIM_CONDITION)), list: ListType::Map(&["type"]), patch: Patch::MergeBy("type"), numbers: &[4], ..F },
    Field { name: "currentVolumeAttributesClassName", ty: String, numbers: &[8], ..F },
    Field { name: "modifyVolumeStatus", ty: Object(&CORE_V1_MODIFY_VOLUME_STATUS), numbers: &[9], ..F },
    Field { name: "phase", ty: String, default: Some(Literal::Str("Pending")), values: &["Pending", "Bound", "Lost"], numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_PERSISTENT_VOLUME_CLAIM_TEMPLATE: Object = Object { name: "core.v1.PersistentVolumeClaimTemplate", atomic: false, fields: &[
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&CORE_V1_PERSISTENT_VOLUME_CLAIM_SPEC), required: true, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE: Object = Object { name: "core.v1.PersistentVolumeClaimVolumeSource", atomic: false, fields: &[
    Field { name: "claimName", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_PERSISTENT_VOLUME_SPEC: Object = Object { name: "core.v1.PersistentVolumeSpec", atomic: false, fields: &[
    Field { name: "accessModes", ty: List(&String), values: &["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"], numbers: &[3], ..F },
    Field { name: "awsElasticBlockStore", ty: Object(&CORE_V1_AWSELASTIC_BLOCK_STORE_VOLUME_SOURCE), numbers: &[2, 2], ..F },
    Field { name: "azureDisk", ty: Object(&CORE_V1_AZURE_DISK_VOLUME_SOURCE), numbers: &[2, 16], ..F },
    Field { name: "azureFile", ty: Object(&CORE_V1_AZURE_FILE_PERSISTENT_VOLUME_SOURCE), numbers: &[2, 13], ..F },
    Field { name: "capacity", ty: Map(&Quantity), numbers: &[1], ..F },
    Field { name: "cephfs", ty: Object(&CORE_V1_CEPH_FSPERSISTENT_VOLUME_SOURCE), numbers: &[2, 9], ..F },
    Field { name: "cinder", ty: Object(&CORE_V1_CINDER_PERSISTENT_VOLUME_SOURCE), numbers: &[2, 8], ..F },
    Field { name: "claimRef", ty: Object(&CORE_V1_OBJECT_REFERENCE), numbers: &[4], ..F },
    Field { name: "csi", ty: Object(&CORE_V1_CSIPERSISTENT_VOLUME_SOURCE), numbers: &[2, 22], ..F },
    Field { name: "fc", ty: Object(&CORE_V1_FCVOLUME_SOURCE), numbers: &[2, 10], ..F },
    Field { name: "flexVolume", ty: Object(&CORE_V1_FLEX_PERSISTENT_VOLUME_SOURCE), numbers: &[2, 12], ..F },
    Field { name: "flocker", ty: Object(&CORE_V1_FLOCKER_VOLUME_SOURCE), numbers: &[2, 11], ..F },
    Field { name: "gcePersistentDisk", ty: Object(&CORE_V1_GCEPERSISTENT_DISK_VOLUME_SOURCE), numbers: &[2, 1], ..F },
    Field { name: "glusterfs", ty: Object(&CORE_V1_GLUSTERFS_PERSISTENT_VOLUME_SOURCE), numbers: &[2, 4], ..F },
    Field { name: "hostPath", ty: Object(&CORE_V1_HOST_PATH_VOLUME_SOURCE), numbers: &[2, 3], ..F },
    Field { name: "iscsi", ty: Object(&CORE_V1_ISCSIPERSISTENT_VOLUME_SOURCE), numbers: &[2, 7], ..F },
    Field { name: "local", ty: Object(&CORE_V1_LOCAL_VOLUME_SOURCE), numbers: &[2, 20], ..F },
    Field { name: "mountOptions", ty: List(&String), numbers: &[7], ..F },
    Field { name: "nfs", ty: Object(&CORE_V1_NFSVOLUME_SOURCE), numbers: &[2, 5], ..F },
    Field { name: "nodeAffinity", ty: Object(&CORE_V1_VOLUME_NODE_AFFINITY), numbers: &[9], ..F },
    Field { name: "persistentVolumeReclaimPolicy", ty: String, default: Some(Literal::Str("Retain")), values: &["Recycle", "Delete", "Retain"], numbers: &[5], ..F },
    Field { name: "photonPersistentDisk", ty: Object(&CORE_V1_PHOTON_PERSISTENT_DISK_VOLUME_SOURCE), numbers: &[2, 17], ..F },
    Field { name: "portworxVolume", ty: Object(&CORE_V1_PORTWORX_VOLUME_SOURCE), numbers: &[2, 18], ..F },
    Field { name: "quobyte", ty: Object(&CORE_V1_QUOBYTE_VOLUME_SOURCE), numbers: &[2, 15], ..F },
    Field { name: "rbd", ty: Object(&CORE_V1_RBDPERSISTENT_VOLUME_SOURCE), numbers: &[2, 6], ..F },
    Field { name: "scaleIO", ty: Object(&CORE_V1_SCALE_IOPERSISTENT_VOLUME_SOURCE), numbers: &[2, 19], ..F },
    Field { name: "storageClassName", ty: String, numbers: &[6], ..F },
    Field { name: "storageos", ty: Object(&CORE_V1_STORAGE_OSPERSISTENT_VOLUME_SOURCE), numbers: &[2, 21], ..F },
    Field { name: "volumeAttributesClassName", ty: String, numbers: &[10], ..F },
    Field { name: "volumeMode", ty: String, default: Some(Literal::Str("Filesystem")), values: &["Block", "Filesystem"], numbers: &[8], ..F },
    Field { name: "vsphereVolume", ty: Object(&CORE_V1_VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE), numbers: &[2, 14], ..F },
] };

pub(crate) static CORE_V1_PERSISTENT_VOLUME_STATUS: Object = Object { name: "core.v1.PersistentVolumeStatus", atomic: false, fields: &[
    Field { name: "lastPhaseTransitionTime", ty: Time, numbers: &[4], ..F },
    Field { name: "message", ty: String, numbers: &[2], ..F },
    Field { name: "phase", ty: String, default: Some(Literal::Str("Pending")), values: &["Pending", "Available", "Bound", "Released", "Failed"], numbers: &[1], ..F },
    Field { name: "reason", ty: String, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_PHOTON_PERSISTENT_DISK_VOLUME_SOURCE: Object = Object { name: "core.v1.PhotonPersistentDiskVolumeSource", atomic: false, fields: &[
    Field { name: "fsType", ty: String, numbers: &[2], ..F },
    Field { name: "pdID", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_POD: Object = Object { name: "core.v1.Pod", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&CORE_V1_POD_SPEC), required: true, numbers: &[2], ..F },
    Field { name: "status", ty: Object(&CORE_V1_POD_STATUS), support: Support::Dropped, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_POD_AFFINITY: Object = Object { name: "core.v1.PodAffinity", atomic: false, fields: &[
    Field { name: "preferredDuringSchedulingIgnoredDuringExecution", ty: List(&Object(&CORE_V1_WEIGHTED_POD_AFFINITY_TERM)), numbers: &[2], ..F },
    Field { name: "requiredDuringSchedulingIgnoredDuringExecution", ty: List(&Object(&CORE_V1_POD_AFFINITY_TERM)), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_POD_AFFINITY_TERM: Object = Object { name: "core.v1.PodAffinityTerm", atomic: false, fields: &[
    Field { name: "labelSelector", ty: Object(&META_V1_LABEL_SELECTOR), numbers: &[1], ..F },
    Field { name: "matchLabelKeys", ty: List(&String), numbers: &[5], ..F },
    Field { name: "mismatchLabelKeys", ty: List(&String), numbers: &[6], ..F },
    Field { name: "namespaceSelector", ty: Object(&META_V1_LABEL_SELECTOR), numbers: &[4], ..F },
    Field { name: "namespaces", ty: List(&String), numbers: &[2], ..F },
    Field { name: "topologyKey", ty: String, required: true, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_POD_ANTI_AFFINITY: Object = Object { name: "core.v1.PodAntiAffinity", atomic: false, fields: &[
    Field { name: "preferredDuringSchedulingIgnoredDuringExecution", ty: List(&Object(&CORE_V1_WEIGHTED_POD_AFFINITY_TERM)), numbers: &[2], ..F },
    Field { name: "requiredDuringSchedulingIgnoredDuringExecution", ty: List(&Object(&CORE_V1_POD_AFFINITY_TERM)), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_POD_CERTIFICATE_PROJECTION: Object = Object { name: "core.v1.PodCertificateProjection", atomic: false, fields: &[
    Field { name: "certificateChainPath", ty: String, numbers: &[6], ..F },
    Field { name: "credentialBundlePath", ty: String, numbers: &[4], ..F },
    Field { name: "keyPath", ty: String, numbers: &[5], ..F },
    Field { name: "keyType", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "maxExpirationSeconds", ty: Int32, numbers: &[3], ..F },
    Field { name: "signerName", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "userAnnotations", ty: Map(&String), numbers: &[7], ..F },
] };

pub(crate) static CORE_V1_POD_CONDITION: Object = Object { name: "core.v1.PodCondition", atomic: false, fields: &[
    Field { name: "lastProbeTime", ty: Time, numbers: &[3], ..F },
    Field { name: "lastTransitionTime", ty: Time, numbers: &[4], ..F },
    Field { name: "message", ty: String, numbers: &[6], ..F },
    Field { name: "observedGeneration", ty: Int64, numbers: &[7], ..F },
    Field { name: "reason", ty: String, numbers: &[5], ..F },
    Field { name: "status", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_POD_DNSCONFIG: Object = Object { name: "core.v1.PodDNSConfig", atomic: false, fields: &[
    Field { name: "nameservers", ty: List(&String), numbers: &[1], ..F },
    Field { name: "options", ty: List(&Object(&CORE_V1_POD_DNSCONFIG_OPTION)), numbers: &[3], ..F },
    Field { name: "searches", ty: List(&String), numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_POD_DNSCONFIG_OPTION: Object = Object { name: "core.v1.PodDNSConfigOption", atomic: false, fields: &[
    Field { name: "name", ty: String, numbers: &[1], ..F },
    Field { name: "value", ty: String, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_POD_EXTENDED_RESOURCE_CLAIM_STATUS: Object = Object { name: "core.v1.PodExtendedResourceClaimStatus", atomic: false, fields: &[
    Field { name: "requestMappings", ty: List(&Object(&CORE_V1_CONTAINER_EXTENDED_RESOURCE_REQUEST)), required: true, numbers: &[1], ..F },
    Field { name: "resourceClaimName", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_POD_IP: Object = Object { name: "core.v1.PodIP", atomic: false, fields: &[
    Field { name: "ip", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_POD_OS: Object = Object { name: "core.v1.PodOS", atomic: false, fields: &[
    Field { name: "name", ty: String, required: true, values: &["linux", "windows"], support: Support::Refused { accepted: &["linux"], note: "" }, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_POD_READINESS_GATE: Object = Object { name: "core.v1.PodReadinessGate", atomic: false, fields: &[
    Field { name: "conditionType", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_POD_RESOURCE_CLAIM: Object = Object { name: "core.v1.PodResourceClaim", atomic: false, fields: &[
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "resourceClaimName", ty: String, numbers: &[3], ..F },
    Field { name: "resourceClaimTemplateName", ty: String, numbers: &[4], ..F },
] };

pub(crate) static CORE_V1_POD_RESOURCE_CLAIM_STATUS: Object = Object { name: "core.v1.PodResourceClaimStatus", atomic: false, fields: &[
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "resourceClaimName", ty: String, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_POD_SCHEDULING_GATE: Object = Object { name: "core.v1.PodSchedulingGate", atomic: false, fields: &[
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_POD_SCHEDULING_GROUP: Object = Object { name: "core.v1.PodSchedulingGroup", atomic: false, fields: &[
    Field { name: "podGroupName", ty: String, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_POD_SECURITY_CONTEXT: Object = Object { name: "core.v1.PodSecurityContext", atomic: false, fields: &[
    Field { name: "appArmorProfile", ty: Object(&CORE_V1_APP_ARMOR_PROFILE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[11], ..F },
    Field { name: "fsGroup", ty: Int64, range: Some((0, 2147483647)), numbers: &[5], ..F },
    Field { name: "fsGroupChangePolicy", ty: String, values: &["OnRootMismatch", "Always"], support: Support::Ignored { accepted: &["Always"], note: "ownership is set at every start" }, numbers: &[9], ..F },
    Field { name: "runAsGroup", ty: Int64, range: Some((0, 2147483647)), numbers: &[6], ..F },
    Field { name: "runAsNonRoot", ty: Bool, numbers: &[3], ..F },
    Field { name: "runAsUser", ty: Int64, range: Some((0, 2147483647)), numbers: &[2], ..F },
    Field { name: "seLinuxChangePolicy", ty: String, support: Support::Refused { accepted: &[], note: "" }, numbers: &[13], ..F },
    Field { name: "seLinuxOptions", ty: Object(&CORE_V1_SELINUX_OPTIONS), support: Support::Refused { accepted: &[], note: "" }, numbers: &[1], ..F },
    Field { name: "seccompProfile", ty: Object(&CORE_V1_SECCOMP_PROFILE), numbers: &[10], ..F },
    Field { name: "supplementalGroups", ty: List(&Int64), numbers: &[4], ..F },
    Field { name: "supplementalGroupsPolicy", ty: String, values: &["Merge", "Strict"], support: Support::Refused { accepted: &["Merge"], note: "" }, numbers: &[12], ..F },
    Field { name: "sysctls", ty: List(&Object(&CORE_V1_SYSCTL)), numbers: &[7], ..F },
    Field { name: "windowsOptions", ty: Object(&CORE_V1_WINDOWS_SECURITY_CONTEXT_OPTIONS), support: Support::Refused { accepted: &[], note: "" }, numbers: &[8], ..F },
] };

pub(crate) static CORE_V1_POD_SPEC: Object = Object { name: "core.v1.PodSpec", atomic: false, fields: &[
    Field { name: "activeDeadlineSeconds", ty: Int64, range: Some((1, 2147483647)), support: Support::Refused { accepted: &[], note: "" }, numbers: &[5], ..F },
    Field { name: "affinity", ty: Object(&CORE_V1_AFFINITY), support: Support::Refused { accepted: &[], note: "" }, numbers: &[18], ..F },
    Field { name: "automountServiceAccountToken", ty: Bool, absent: Some(Literal::Bool(true)), numbers: &[21], ..F },
    Field { name: "containers", ty: List(&Object(&CORE_V1_CONTAINER)), required: true, list: ListType::Map(&["name"]), patch: Patch::MergeBy("name"), numbers: &[2], ..F },
    Field { name: "dnsConfig", ty: Object(&CORE_V1_POD_DNSCONFIG), numbers: &[26], ..F },
    Field { name: "dnsPolicy", ty: String, default: Some(Literal::Str("ClusterFirst")), values: &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], numbers: &[6], ..F },
    Field { name: "enableServiceLinks", ty: Bool, absent: Some(Literal::Bool(true)), numbers: &[30], ..F },
    Field { name: "ephemeralContainers", ty: List(&Object(&CORE_V1_EPHEMERAL_CONTAINER)), list: ListType::Map(&["name"]), patch: Patch::MergeBy("name"), support: Support::Refused { accepted: &[], note: "one is added to a pod that runs, by kubectl debug" }, numbers: &[34], ..F },
    Field { name: "hostAliases", ty: List(&Object(&CORE_V1_HOST_ALIAS)), list: ListType::Map(&["ip"]), patch: Patch::MergeBy("ip"), numbers: &[23], ..F },
    Field { name: "hostIPC", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[13], ..F },
    Field { name: "hostNetwork", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[11], ..F },
    Field { name: "hostPID", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[12], ..F },
    Field { name: "hostUsers", ty: Bool, support: Support::Refused { accepted: &[], note: "" }, absent: Some(Literal::Bool(true)), numbers: &[37], ..F },
    Field { name: "hostname", ty: String, numbers: &[16], ..F },
    Field { name: "hostnameOverride", ty: String, support: Support::Refused { accepted: &[], note: "" }, numbers: &[41], ..F },
    Field { name: "imagePullSecrets", ty: List(&Object(&CORE_V1_LOCAL_OBJECT_REFERENCE)), list: ListType::Map(&["name"]), patch: Patch::MergeBy("name"), numbers: &[15], ..F },
    Field { name: "initContainers", ty: List(&Object(&CORE_V1_CONTAINER)), list: ListType::Map(&["name"]), patch: Patch::MergeBy("name"), numbers: &[20], ..F },
    Field { name: "nodeName", ty: String, support: Support::Refused { accepted: &[], note: "a pod that is made by hand may name its node, as kubectl debug node/NAME does; a template has nodeSelector" }, numbers: &[10], ..F },
    Field { name: "nodeSelector", ty: Map(&String), atomic: true, numbers: &[7], ..F },
    Field { name: "os", ty: Object(&CORE_V1_POD_OS), numbers: &[36], ..F },
    Field { name: "overhead", ty: Map(&Quantity), support: Support::Refused { accepted: &[], note: "" }, numbers: &[32], ..F },
    Field { name: "preemptionPolicy", ty: String, values: &["PreemptLowerPriority", "Never"], support: Support::Ignored { accepted: &["PreemptLowerPriority"], note: "nothing is preempted" }, numbers: &[31], ..F },
    Field { name: "priority", ty: Int32, support: Support::Refused { accepted: &[], note: "" }, absent: Some(Literal::Int(0)), numbers: &[25], ..F },
    Field { name: "priorityClassName", ty: String, support: Support::Refused { accepted: &[], note: "" }, numbers: &[24], ..F },
    Field { name: "readinessGates", ty: List(&Object(&CORE_V1_POD_READINESS_GATE)), support: Support::Refused { accepted: &[], note: "" }, numbers: &[28], ..F },
    Field { name: "resourceClaims", ty: List(&Object(&CORE_V1_POD_RESOURCE_CLAIM)), list: ListType::Map(&["name"]), patch: Patch::MergeRetainKeys("name"), support: Support::Refused { accepted: &[], note: "" }, numbers: &[39], ..F },
    Field { name: "resources", ty: Object(&CORE_V1_RESOURCE_REQUIREMENTS), support: Support::Refused { accepted: &[], note: "" }, numbers: &[40], ..F },
    Field { name: "restartPolicy", ty: String, default: Some(Literal::Str("Always")), values: &["Always", "OnFailure", "Never"], numbers: &[3], ..F },
    Field { name: "runtimeClassName", ty: String, support: Support::Refused { accepted: &[], note: "" }, numbers: &[29], ..F },
    Field { name: "schedulerName", ty: String, default: Some(Literal::Str("default-scheduler")), support: Support::Refused { accepted: &["default-scheduler"], note: "" }, numbers: &[19], ..F },
    Field { name: "schedulingGates", ty: List(&Object(&CORE_V1_POD_SCHEDULING_GATE)), list: ListType::Map(&["name"]), patch: Patch::MergeBy("name"), support: Support::Refused { accepted: &[], note: "" }, numbers: &[38], ..F },
    Field { name: "schedulingGroup", ty: Object(&CORE_V1_POD_SCHEDULING_GROUP), support: Support::Refused { accepted: &[], note: "" }, numbers: &[43], ..F },
    Field { name: "securityContext", ty: Object(&CORE_V1_POD_SECURITY_CONTEXT), default: Some(Literal::Empty), numbers: &[14], ..F },
    Field { name: "serviceAccount", ty: String, numbers: &[9], ..F },
    Field { name: "serviceAccountName", ty: String, numbers: &[8], ..F },
    Field { name: "setHostnameAsFQDN", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[35], ..F },
    Field { name: "shareProcessNamespace", ty: Bool, support: Support::Refused { accepted: &[], note: "" }, absent: Some(Literal::Bool(false)), numbers: &[27], ..F },
    Field { name: "subdomain", ty: String, numbers: &[17], ..F },
    Field { name: "terminationGracePeriodSeconds", ty: Int64, default: Some(Literal::Int(30)), range: Some((0, i64::MAX)), numbers: &[4], ..F },
    Field { name: "tolerations", ty: List(&Object(&CORE_V1_TOLERATION)), numbers: &[22], ..F },
    Field { name: "topologySpreadConstraints", ty: List(&Object(&CORE_V1_TOPOLOGY_SPREAD_CONSTRAINT)), list: ListType::Map(&["topologyKey", "whenUnsatisfiable"]), patch: Patch::MergeBy("topologyKey"), support: Support::Refused { accepted: &[], note: "" }, numbers: &[33], ..F },
    Field { name: "volumes", ty: List(&Object(&CORE_V1_VOLUME)), list: ListType::Map(&["name"]), patch: Patch::MergeRetainKeys("name"), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_POD_STATUS: Object = Object { name: "core.v1.PodStatus", atomic: false, fields: &[
    Field { name: "allocatedResources", ty: Map(&Quantity), numbers: &[19], ..F },
    Field { name: "conditions", ty: List(&Object(&CORE_V1_POD_CONDITION)), list: ListType::Map(&["type"]), patch: Patch::MergeBy("type"), numbers: &[2], ..F },
    Field { name: "containerStatuses", ty: List(&Object(&CORE_V1_CONTAINER_STATUS)), numbers: &[8], ..F },
    Field { name: "ephemeralContainerStatuses", ty: List(&Object(&CORE_V1_CONTAINER_STATUS)), numbers: &[13], ..F },
    Field { name: "extendedResourceClaimStatus", ty: Object(&CORE_V1_POD_EXTENDED_RESOURCE_CLAIM_STATUS), numbers: &[18], ..F },
    Field { name: "hostIP", ty: String, numbers: &[5], ..F },
    Field { name: "hostIPs", ty: List(&Object(&CORE_V1_HOST_IP)), patch: Patch::MergeBy("ip"), numbers: &[16], ..F },
    Field { name: "initContainerStatuses", ty: List(&Object(&CORE_V1_CONTAINER_STATUS)), numbers: &[10], ..F },
    Field { name: "message", ty: String, numbers: &[3], ..F },
    Field { name: "nodeAllocatableResourceClaimStatuses", ty: List(&Object(&CORE_V1_NODE_ALLOCATABLE_RESOURCE_CLAIM_STATUS)), numbers: &[21], ..F },
    Field { name: "nominatedNodeName", ty: String, numbers: &[11], ..F },
    Field { name: "observedGeneration", ty: Int64, numbers: &[17], ..F },
    Field { name: "phase", ty: String, values: &["Pending", "Running", "Succeeded", "Failed", "Unknown"], numbers: &[1], ..F },
    Field { name: "podIP", ty: String, numbers: &[6], ..F },
    Field { name: "podIPs", ty: List(&Object(&CORE_V1_POD_IP)), list: ListType::Map(&["ip"]), patch: Patch::MergeBy("ip"), numbers: &[12], ..F },
    Field { name: "qosClass", ty: String, values: &["Guaranteed", "Burstable", "BestEffort"], numbers: &[9], ..F },
    Field { name: "reason", ty: String, numbers: &[4], ..F },
    Field { name: "resize", ty: String, numbers: &[14], ..F },
    Field { name: "resourceClaimStatuses", ty: List(&Object(&CORE_V1_POD_RESOURCE_CLAIM_STATUS)), list: ListType::Map(&["name"]), patch: Patch::MergeRetainKeys("name"), numbers: &[15], ..F },
    Field { name: "resources", ty: Object(&CORE_V1_RESOURCE_REQUIREMENTS), numbers: &[20], ..F },
    Field { name: "startTime", ty: Time, numbers: &[7], ..F },
] };

pub(crate) static CORE_V1_POD_TEMPLATE: Object = Object { name: "core.v1.PodTemplate", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "template", ty: Object(&CORE_V1_POD_TEMPLATE_SPEC), numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_POD_TEMPLATE_SPEC: Object = Object { name: "core.v1.PodTemplateSpec", atomic: false, fields: &[
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&CORE_V1_POD_SPEC), required: true, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_PORT_STATUS: Object = Object { name: "core.v1.PortStatus", atomic: false, fields: &[
    Field { name: "error", ty: String, numbers: &[3], ..F },
    Field { name: "port", ty: Int32, required: true, numbers: &[1], ..F },
    Field { name: "protocol", ty: String, required: true, values: &["TCP", "UDP", "SCTP"], numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_PORTWORX_VOLUME_SOURCE: Object = Object { name: "core.v1.PortworxVolumeSource", atomic: false, fields: &[
    Field { name: "fsType", ty: String, numbers: &[2], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[3], ..F },
    Field { name: "volumeID", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_PREFERRED_SCHEDULING_TERM: Object = Object { name: "core.v1.PreferredSchedulingTerm", atomic: false, fields: &[
    Field { name: "preference", ty: Object(&CORE_V1_NODE_SELECTOR_TERM), required: true, numbers: &[2], ..F },
    Field { name: "weight", ty: Int32, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_PROBE: Object = Object { name: "core.v1.Probe", atomic: false, fields: &[
    Field { name: "exec", ty: Object(&CORE_V1_EXEC_ACTION), numbers: &[1, 1], ..F },
    Field { name: "failureThreshold", ty: Int32, default: Some(Literal::Int(3)), range: Some((0, i64::MAX)), numbers: &[6], ..F },
    Field { name: "grpc", ty: Object(&CORE_V1_GRPCACTION), numbers: &[1, 4], ..F },
    Field { name: "httpGet", ty: Object(&CORE_V1_HTTPGET_ACTION), numbers: &[1, 2], ..F },
    Field { name: "initialDelaySeconds", ty: Int32, range: Some((0, i64::MAX)), absent: Some(Literal::Int(0)), numbers: &[2], ..F },
    Field { name: "periodSeconds", ty: Int32, default: Some(Literal::Int(10)), range: Some((0, i64::MAX)), numbers: &[4], ..F },
    Field { name: "successThreshold", ty: Int32, default: Some(Literal::Int(1)), range: Some((0, i64::MAX)), numbers: &[5], ..F },
    Field { name: "tcpSocket", ty: Object(&CORE_V1_TCPSOCKET_ACTION), numbers: &[1, 3], ..F },
    Field { name: "terminationGracePeriodSeconds", ty: Int64, range: Some((1, i64::MAX)), numbers: &[7], ..F },
    Field { name: "timeoutSeconds", ty: Int32, default: Some(Literal::Int(1)), range: Some((0, i64::MAX)), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_PROJECTED_VOLUME_SOURCE: Object = Object { name: "core.v1.ProjectedVolumeSource", atomic: false, fields: &[
    Field { name: "defaultMode", ty: Int32, default: Some(Literal::Int(420)), range: Some((0, 511)), numbers: &[2], ..F },
    Field { name: "sources", ty: List(&Object(&CORE_V1_VOLUME_PROJECTION)), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_QUOBYTE_VOLUME_SOURCE: Object = Object { name: "core.v1.QuobyteVolumeSource", atomic: false, fields: &[
    Field { name: "group", ty: String, numbers: &[5], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[3], ..F },
    Field { name: "registry", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "tenant", ty: String, numbers: &[6], ..F },
    Field { name: "user", ty: String, numbers: &[4], ..F },
    Field { name: "volume", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_RBDPERSISTENT_VOLUME_SOURCE: Object = Object { name: "core.v1.RBDPersistentVolumeSource", atomic: false, fields: &[
    Field { name: "fsType", ty: String, numbers: &[3], ..F },
    Field { name: "image", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "keyring", ty: String, default: Some(Literal::Str("/etc/ceph/keyring")), numbers: &[6], ..F },
    Field { name: "monitors", ty: List(&String), required: true, numbers: &[1], ..F },
    Field { name: "pool", ty: String, default: Some(Literal::Str("rbd")), numbers: &[4], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[8], ..F },
    Field { name: "secretRef", ty: Object(&CORE_V1_SECRET_REFERENCE), numbers: &[7], ..F },
    Field { name: "user", ty: String, default: Some(Literal::Str("admin")), numbers: &[5], ..F },
] };

pub(crate) static CORE_V1_RBDVOLUME_SOURCE: Object = Object { name: "core.v1.RBDVolumeSource", atomic: false, fields: &[
    Field { name: "fsType", ty: String, numbers: &[3], ..F },
    Field { name: "image", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "keyring", ty: String, default: Some(Literal::Str("/etc/ceph/keyring")), numbers: &[6], ..F },
    Field { name: "monitors", ty: List(&String), required: true, numbers: &[1], ..F },
    Field { name: "pool", ty: String, default: Some(Literal::Str("rbd")), numbers: &[4], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[8], ..F },
    Field { name: "secretRef", ty: Object(&CORE_V1_LOCAL_OBJECT_REFERENCE), numbers: &[7], ..F },
    Field { name: "user", ty: String, default: Some(Literal::Str("admin")), numbers: &[5], ..F },
] };

pub(crate) static CORE_V1_REPLICATION_CONTROLLER: Object = Object { name: "core.v1.ReplicationController", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&CORE_V1_REPLICATION_CONTROLLER_SPEC), numbers: &[2], ..F },
    Field { name: "status", ty: Object(&CORE_V1_REPLICATION_CONTROLLER_STATUS), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_REPLICATION_CONTROLLER_CONDITION: Object = Object { name: "core.v1.ReplicationControllerCondition", atomic: false, fields: &[
    Field { name: "lastTransitionTime", ty: Time, numbers: &[3], ..F },
    Field { name: "message", ty: String, numbers: &[5], ..F },
    Field { name: "reason", ty: String, numbers: &[4], ..F },
    Field { name: "status", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_REPLICATION_CONTROLLER_SPEC: Object = Object { name: "core.v1.ReplicationControllerSpec", atomic: false, fields: &[
    Field { name: "minReadySeconds", ty: Int32, default: Some(Literal::Int(0)), numbers: &[4], ..F },
    Field { name: "replicas", ty: Int32, default: Some(Literal::Int(1)), numbers: &[1], ..F },
    Field { name: "selector", ty: Map(&String), atomic: true, numbers: &[2], ..F },
    Field { name: "template", ty: Object(&CORE_V1_POD_TEMPLATE_SPEC), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_REPLICATION_CONTROLLER_STATUS: Object = Object { name: "core.v1.ReplicationControllerStatus", atomic: false, fields: &[
    Field { name: "availableReplicas", ty: Int32, numbers: &[5], ..F },
    Field { name: "conditions", ty: List(&Object(&CORE_V1_REPLICATION_CONTROLLER_CONDITION)), list: ListType::Map(&["type"]), patch: Patch::MergeBy("type"), numbers: &[6], ..F },
    Field { name: "fullyLabeledReplicas", ty: Int32, numbers: &[2], ..F },
    Field { name: "observedGeneration", ty: Int64, numbers: &[3], ..F },
    Field { name: "readyReplicas", ty: Int32, numbers: &[4], ..F },
    Field { name: "replicas", ty: Int32, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_RESOURCE_CLAIM: Object = Object { name: "core.v1.ResourceClaim", atomic: false, fields: &[
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "request", ty: String, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_RESOURCE_FIELD_SELECTOR: Object = Object { name: "core.v1.ResourceFieldSelector", atomic: true, fields: &[
    Field { name: "containerName", ty: String, numbers: &[1], ..F },
    Field { name: "divisor", ty: Quantity, numbers: &[3], ..F },
    Field { name: "resource", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_RESOURCE_HEALTH: Object = Object { name: "core.v1.ResourceHealth", atomic: false, fields: &[
    Field { name: "health", ty: String, numbers: &[2], ..F },
    Field { name: "message", ty: String, numbers: &[6], ..F },
    Field { name: "resourceID", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_RESOURCE_QUOTA: Object = Object { name: "core.v1.ResourceQuota", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&CORE_V1_RESOURCE_QUOTA_SPEC), numbers: &[2], ..F },
    Field { name: "status", ty: Object(&CORE_V1_RESOURCE_QUOTA_STATUS), support: Support::Dropped, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_RESOURCE_QUOTA_SPEC: Object = Object { name: "core.v1.ResourceQuotaSpec", atomic: false, fields: &[
    Field { name: "hard", ty: Map(&Quantity), numbers: &[1], ..F },
    Field { name: "scopeSelector", ty: Object(&CORE_V1_SCOPE_SELECTOR), numbers: &[3], ..F },
    Field { name: "scopes", ty: List(&String), values: &["Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity", "VolumeAttributesClass"], numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_RESOURCE_QUOTA_STATUS: Object = Object { name: "core.v1.ResourceQuotaStatus", atomic: false, fields: &[
    Field { name: "hard", ty: Map(&Quantity), numbers: &[1], ..F },
    Field { name: "used", ty: Map(&Quantity), numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_RESOURCE_REQUIREMENTS: Object = Object { name: "core.v1.ResourceRequirements", atomic: false, fields: &[
    Field { name: "claims", ty: List(&Object(&CORE_V1_RESOURCE_CLAIM)), list: ListType::Map(&["name"]), support: Support::Refused { accepted: &[], note: "" }, numbers: &[3], ..F },
    Field { name: "limits", ty: Map(&Quantity), numbers: &[1], ..F },
    Field { name: "requests", ty: Map(&Quantity), numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_RESOURCE_STATUS: Object = Object { name: "core.v1.ResourceStatus", atomic: false, fields: &[
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "resources", ty: List(&Object(&CORE_V1_RESOURCE_HEALTH)), list: ListType::Map(&["resourceID"]), numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_SELINUX_OPTIONS: Object = Object { name: "core.v1.SELinuxOptions", atomic: false, fields: &[
    Field { name: "level", ty: String, numbers: &[4], ..F },
    Field { name: "role", ty: String, numbers: &[2], ..F },
    Field { name: "type", ty: String, numbers: &[3], ..F },
    Field { name: "user", ty: String, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_SCALE_IOPERSISTENT_VOLUME_SOURCE: Object = Object { name: "core.v1.ScaleIOPersistentVolumeSource", atomic: false, fields: &[
    Field { name: "fsType", ty: String, default: Some(Literal::Str("xfs")), numbers: &[9], ..F },
    Field { name: "gateway", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "protectionDomain", ty: String, numbers: &[5], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[10], ..F },
    Field { name: "secretRef", ty: Object(&CORE_V1_SECRET_REFERENCE), required: true, numbers: &[3], ..F },
    Field { name: "sslEnabled", ty: Bool, numbers: &[4], ..F },
    Field { name: "storageMode", ty: String, default: Some(Literal::Str("ThinProvisioned")), numbers: &[7], ..F },
    Field { name: "storagePool", ty: String, numbers: &[6], ..F },
    Field { name: "system", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "volumeName", ty: String, numbers: &[8], ..F },
] };

pub(crate) static CORE_V1_SCALE_IOVOLUME_SOURCE: Object = Object { name: "core.v1.ScaleIOVolumeSource", atomic: false, fields: &[
    Field { name: "fsType", ty: String, default: Some(Literal::Str("xfs")), numbers: &[9], ..F },
    Field { name: "gateway", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "protectionDomain", ty: String, numbers: &[5], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[10], ..F },
    Field { name: "secretRef", ty: Object(&CORE_V1_LOCAL_OBJECT_REFERENCE), required: true, numbers: &[3], ..F },
    Field { name: "sslEnabled", ty: Bool, numbers: &[4], ..F },
    Field { name: "storageMode", ty: String, default: Some(Literal::Str("ThinProvisioned")), numbers: &[7], ..F },
    Field { name: "storagePool", ty: String, numbers: &[6], ..F },
    Field { name: "system", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "volumeName", ty: String, numbers: &[8], ..F },
] };

pub(crate) static CORE_V1_SCOPE_SELECTOR: Object = Object { name: "core.v1.ScopeSelector", atomic: true, fields: &[
    Field { name: "matchExpressions", ty: List(&Object(&CORE_V1_SCOPED_RESOURCE_SELECTOR_REQUIREMENT)), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_SCOPED_RESOURCE_SELECTOR_REQUIREMENT: Object = Object { name: "core.v1.ScopedResourceSelectorRequirement", atomic: false, fields: &[
    Field { name: "operator", ty: String, required: true, values: &["In", "NotIn", "Exists", "DoesNotExist"], numbers: &[2], ..F },
    Field { name: "scopeName", ty: String, required: true, values: &["Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity", "VolumeAttributesClass"], numbers: &[1], ..F },
    Field { name: "values", ty: List(&String), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_SECCOMP_PROFILE: Object = Object { name: "core.v1.SeccompProfile", atomic: false, fields: &[
    Field { name: "localhostProfile", ty: String, support: Support::Refused { accepted: &[], note: "" }, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, values: &["Unconfined", "RuntimeDefault", "Localhost"], support: Support::Refused { accepted: &["RuntimeDefault", "Unconfined"], note: "" }, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_SECRET: Object = Object { name: "core.v1.Secret", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "data", ty: Map(&Bytes), numbers: &[2], ..F },
    Field { name: "immutable", ty: Bool, numbers: &[5], ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "stringData", ty: Map(&String), numbers: &[4], ..F },
    Field { name: "type", ty: String, default: Some(Literal::Str("Opaque")), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_SECRET_ENV_SOURCE: Object = Object { name: "core.v1.SecretEnvSource", atomic: false, fields: &[
    Field { name: "name", ty: String, numbers: &[1, 1], ..F },
    Field { name: "optional", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_SECRET_KEY_SELECTOR: Object = Object { name: "core.v1.SecretKeySelector", atomic: true, fields: &[
    Field { name: "key", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "name", ty: String, numbers: &[1, 1], ..F },
    Field { name: "optional", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_SECRET_PROJECTION: Object = Object { name: "core.v1.SecretProjection", atomic: false, fields: &[
    Field { name: "items", ty: List(&Object(&CORE_V1_KEY_TO_PATH)), numbers: &[2], ..F },
    Field { name: "name", ty: String, numbers: &[1, 1], ..F },
    Field { name: "optional", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[4], ..F },
] };

pub(crate) static CORE_V1_SECRET_REFERENCE: Object = Object { name: "core.v1.SecretReference", atomic: true, fields: &[
    Field { name: "name", ty: String, numbers: &[1], ..F },
    Field { name: "namespace", ty: String, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_SECRET_VOLUME_SOURCE: Object = Object { name: "core.v1.SecretVolumeSource", atomic: false, fields: &[
    Field { name: "defaultMode", ty: Int32, default: Some(Literal::Int(420)), range: Some((0, 511)), numbers: &[3], ..F },
    Field { name: "items", ty: List(&Object(&CORE_V1_KEY_TO_PATH)), numbers: &[2], ..F },
    Field { name: "optional", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[4], ..F },
    Field { name: "secretName", ty: String, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_SECURITY_CONTEXT: Object = Object { name: "core.v1.SecurityContext", atomic: false, fields: &[
    Field { name: "allowPrivilegeEscalation", ty: Bool, numbers: &[7], ..F },
    Field { name: "appArmorProfile", ty: Object(&CORE_V1_APP_ARMOR_PROFILE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[12], ..F },
    Field { name: "capabilities", ty: Object(&CORE_V1_CAPABILITIES), numbers: &[1], ..F },
    Field { name: "privileged", ty: Bool, numbers: &[2], ..F },
    Field { name: "procMount", ty: String, values: &["Default", "Unmasked"], support: Support::Refused { accepted: &["Default"], note: "" }, numbers: &[9], ..F },
    Field { name: "readOnlyRootFilesystem", ty: Bool, numbers: &[6], ..F },
    Field { name: "runAsGroup", ty: Int64, range: Some((0, 2147483647)), numbers: &[8], ..F },
    Field { name: "runAsNonRoot", ty: Bool, numbers: &[5], ..F },
    Field { name: "runAsUser", ty: Int64, range: Some((0, 2147483647)), numbers: &[4], ..F },
    Field { name: "seLinuxOptions", ty: Object(&CORE_V1_SELINUX_OPTIONS), support: Support::Refused { accepted: &[], note: "" }, numbers: &[3], ..F },
    Field { name: "seccompProfile", ty: Object(&CORE_V1_SECCOMP_PROFILE), numbers: &[11], ..F },
    Field { name: "windowsOptions", ty: Object(&CORE_V1_WINDOWS_SECURITY_CONTEXT_OPTIONS), support: Support::Refused { accepted: &[], note: "" }, numbers: &[10], ..F },
] };

pub(crate) static CORE_V1_SERVICE: Object = Object { name: "core.v1.Service", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&CORE_V1_SERVICE_SPEC), required: true, numbers: &[2], ..F },
    Field { name: "status", ty: Object(&CORE_V1_SERVICE_STATUS), support: Support::Dropped, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_SERVICE_ACCOUNT: Object = Object { name: "core.v1.ServiceAccount", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "automountServiceAccountToken", ty: Bool, numbers: &[4], ..F },
    Field { name: "imagePullSecrets", ty: List(&Object(&CORE_V1_LOCAL_OBJECT_REFERENCE)), support: Support::Ignored { accepted: &[], note: "a pod names its own" }, numbers: &[3], ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "secrets", ty: List(&Object(&CORE_V1_OBJECT_REFERENCE)), list: ListType::Map(&["name"]), patch: Patch::MergeBy("name"), support: Support::Ignored { accepted: &[], note: "tokens are made when they are asked for" }, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_SERVICE_ACCOUNT_TOKEN_PROJECTION: Object = Object { name: "core.v1.ServiceAccountTokenProjection", atomic: false, fields: &[
    Field { name: "audience", ty: String, numbers: &[1], ..F },
    Field { name: "expirationSeconds", ty: Int64, default: Some(Literal::Int(3600)), numbers: &[2], ..F },
    Field { name: "path", ty: String, required: true, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_SERVICE_PORT: Object = Object { name: "core.v1.ServicePort", atomic: false, fields: &[
    Field { name: "appProtocol", ty: String, numbers: &[6], ..F },
    Field { name: "name", ty: String, numbers: &[1], ..F },
    Field { name: "nodePort", ty: Int32, range: Some((0, 65535)), absent: Some(Literal::Int(0)), numbers: &[5], ..F },
    Field { name: "port", ty: Int32, required: true, range: Some((1, 65535)), numbers: &[3], ..F },
    Field { name: "protocol", ty: String, default: Some(Literal::Str("TCP")), values: &["TCP", "UDP", "SCTP"], support: Support::Refused { accepted: &["TCP", "UDP"], note: "" }, numbers: &[2], ..F },
    Field { name: "targetPort", ty: IntOrString, numbers: &[4], ..F },
] };

pub(crate) static CORE_V1_SERVICE_SPEC: Object = Object { name: "core.v1.ServiceSpec", atomic: false, fields: &[
    Field { name: "allocateLoadBalancerNodePorts", ty: Bool, absent: Some(Literal::Bool(true)), numbers: &[20], ..F },
    Field { name: "clusterIP", ty: String, numbers: &[3], ..F },
    Field { name: "clusterIPs", ty: List(&String), numbers: &[18], ..F },
    Field { name: "externalIPs", ty: List(&String), numbers: &[5], ..F },
    Field { name: "externalName", ty: String, numbers: &[10], ..F },
    Field { name: "externalTrafficPolicy", ty: String, values: &["Cluster", "Local"], numbers: &[11], ..F },
    Field { name: "healthCheckNodePort", ty: Int32, range: Some((0, 65535)), absent: Some(Literal::Int(0)), numbers: &[12], ..F },
    Field { name: "internalTrafficPolicy", ty: String, values: &["Cluster", "Local"], numbers: &[22], ..F },
    Field { name: "ipFamilies", ty: List(&String), values: &["IPv4", "IPv6", ""], numbers: &[19], ..F },
    Field { name: "ipFamilyPolicy", ty: String, values: &["SingleStack", "PreferDualStack", "RequireDualStack"], support: Support::Refused { accepted: &["SingleStack", "PreferDualStack"], note: "Services have IPv4 addresses alone" }, numbers: &[17], ..F },
    Field { name: "loadBalancerClass", ty: String, numbers: &[21], ..F },
    Field { name: "loadBalancerIP", ty: String, numbers: &[8], ..F },
    Field { name: "loadBalancerSourceRanges", ty: List(&String), numbers: &[9], ..F },
    Field { name: "ports", ty: List(&Object(&CORE_V1_SERVICE_PORT)), list: ListType::Map(&["port", "protocol"]), patch: Patch::MergeBy("port"), numbers: &[1], ..F },
    Field { name: "publishNotReadyAddresses", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[13], ..F },
    Field { name: "selector", ty: Map(&String), atomic: true, numbers: &[2], ..F },
    Field { name: "sessionAffinity", ty: String, default: Some(Literal::Str("None")), values: &["ClientIP", "None"], numbers: &[7], ..F },
    Field { name: "sessionAffinityConfig", ty: Object(&CORE_V1_SESSION_AFFINITY_CONFIG), numbers: &[14], ..F },
    Field { name: "trafficDistribution", ty: String, values: &["PreferClose", "PreferSameZone", "PreferSameNode"], numbers: &[23], ..F },
    Field { name: "type", ty: String, default: Some(Literal::Str("ClusterIP")), values: &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"], numbers: &[4], ..F },
] };

pub(crate) static CORE_V1_SERVICE_STATUS: Object = Object { name: "core.v1.ServiceStatus", atomic: false, fields: &[
    Field { name: "conditions", ty: List(&Object(&META_V1_CONDITION)), list: ListType::Map(&["type"]), patch: Patch::MergeBy("type"), numbers: &[2], ..F },
    Field { name: "loadBalancer", ty: Object(&CORE_V1_LOAD_BALANCER_STATUS), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_SESSION_AFFINITY_CONFIG: Object = Object { name: "core.v1.SessionAffinityConfig", atomic: false, fields: &[
    Field { name: "clientIP", ty: Object(&CORE_V1_CLIENT_IPCONFIG), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_SLEEP_ACTION: Object = Object { name: "core.v1.SleepAction", atomic: false, fields: &[
    Field { name: "seconds", ty: Int64, required: true, range: Some((0, i64::MAX)), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_STORAGE_OSPERSISTENT_VOLUME_SOURCE: Object = Object { name: "core.v1.StorageOSPersistentVolumeSource", atomic: false, fields: &[
    Field { name: "fsType", ty: String, numbers: &[3], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[4], ..F },
    Field { name: "secretRef", ty: Object(&CORE_V1_OBJECT_REFERENCE), numbers: &[5], ..F },
    Field { name: "volumeName", ty: String, numbers: &[1], ..F },
    Field { name: "volumeNamespace", ty: String, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_STORAGE_OSVOLUME_SOURCE: Object = Object { name: "core.v1.StorageOSVolumeSource", atomic: false, fields: &[
    Field { name: "fsType", ty: String, numbers: &[3], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[4], ..F },
    Field { name: "secretRef", ty: Object(&CORE_V1_LOCAL_OBJECT_REFERENCE), numbers: &[5], ..F },
    Field { name: "volumeName", ty: String, numbers: &[1], ..F },
    Field { name: "volumeNamespace", ty: String, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_SYSCTL: Object = Object { name: "core.v1.Sysctl", atomic: false, fields: &[
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "value", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_TCPSOCKET_ACTION: Object = Object { name: "core.v1.TCPSocketAction", atomic: false, fields: &[
    Field { name: "host", ty: String, numbers: &[2], ..F },
    Field { name: "port", ty: IntOrString, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_TAINT: Object = Object { name: "core.v1.Taint", atomic: false, fields: &[
    Field { name: "effect", ty: String, required: true, values: &["NoSchedule", "PreferNoSchedule", "NoExecute"], numbers: &[3], ..F },
    Field { name: "key", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "timeAdded", ty: Time, numbers: &[4], ..F },
    Field { name: "value", ty: String, numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_TOLERATION: Object = Object { name: "core.v1.Toleration", atomic: false, fields: &[
    Field { name: "effect", ty: String, values: &["NoSchedule", "PreferNoSchedule", "NoScheduleNoAdmit", "NoExecute"], numbers: &[4], ..F },
    Field { name: "key", ty: String, numbers: &[1], ..F },
    Field { name: "operator", ty: String, values: &["Exists", "Equal", "Lt", "Gt"], support: Support::Refused { accepted: &["Exists", "Equal"], note: "" }, numbers: &[2], ..F },
    Field { name: "tolerationSeconds", ty: Int64, numbers: &[5], ..F },
    Field { name: "value", ty: String, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_TOPOLOGY_SPREAD_CONSTRAINT: Object = Object { name: "core.v1.TopologySpreadConstraint", atomic: false, fields: &[
    Field { name: "labelSelector", ty: Object(&META_V1_LABEL_SELECTOR), numbers: &[4], ..F },
    Field { name: "matchLabelKeys", ty: List(&String), numbers: &[8], ..F },
    Field { name: "maxSkew", ty: Int32, required: true, numbers: &[1], ..F },
    Field { name: "minDomains", ty: Int32, numbers: &[5], ..F },
    Field { name: "nodeAffinityPolicy", ty: String, values: &["Ignore", "Honor"], numbers: &[6], ..F },
    Field { name: "nodeTaintsPolicy", ty: String, values: &["Ignore", "Honor"], numbers: &[7], ..F },
    Field { name: "topologyKey", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "whenUnsatisfiable", ty: String, required: true, values: &["DoNotSchedule", "ScheduleAnyway"], numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_TYPED_LOCAL_OBJECT_REFERENCE: Object = Object { name: "core.v1.TypedLocalObjectReference", atomic: true, fields: &[
    Field { name: "apiGroup", ty: String, numbers: &[1], ..F },
    Field { name: "kind", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[3], ..F },
] };

pub(crate) static CORE_V1_TYPED_OBJECT_REFERENCE: Object = Object { name: "core.v1.TypedObjectReference", atomic: false, fields: &[
    Field { name: "apiGroup", ty: String, numbers: &[1], ..F },
    Field { name: "kind", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[3], ..F },
    Field { name: "namespace", ty: String, numbers: &[4], ..F },
] };

pub(crate) static CORE_V1_VOLUME: Object = Object { name: "core.v1.Volume", atomic: false, fields: &[
    Field { name: "awsElasticBlockStore", ty: Object(&CORE_V1_AWSELASTIC_BLOCK_STORE_VOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 4], ..F },
    Field { name: "azureDisk", ty: Object(&CORE_V1_AZURE_DISK_VOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 22], ..F },
    Field { name: "azureFile", ty: Object(&CORE_V1_AZURE_FILE_VOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 18], ..F },
    Field { name: "cephfs", ty: Object(&CORE_V1_CEPH_FSVOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 14], ..F },
    Field { name: "cinder", ty: Object(&CORE_V1_CINDER_VOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 13], ..F },
    Field { name: "configMap", ty: Object(&CORE_V1_CONFIG_MAP_VOLUME_SOURCE), numbers: &[2, 19], ..F },
    Field { name: "csi", ty: Object(&CORE_V1_CSIVOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 28], ..F },
    Field { name: "downwardAPI", ty: Object(&CORE_V1_DOWNWARD_APIVOLUME_SOURCE), numbers: &[2, 16], ..F },
    Field { name: "emptyDir", ty: Object(&CORE_V1_EMPTY_DIR_VOLUME_SOURCE), numbers: &[2, 2], ..F },
    Field { name: "ephemeral", ty: Object(&CORE_V1_EPHEMERAL_VOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 29], ..F },
    Field { name: "fc", ty: Object(&CORE_V1_FCVOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 17], ..F },
    Field { name: "flexVolume", ty: Object(&CORE_V1_FLEX_VOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 12], ..F },
    Field { name: "flocker", ty: Object(&CORE_V1_FLOCKER_VOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 15], ..F },
    Field { name: "gcePersistentDisk", ty: Object(&CORE_V1_GCEPERSISTENT_DISK_VOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 3], ..F },
    Field { name: "gitRepo", ty: Object(&CORE_V1_GIT_REPO_VOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 5], ..F },
    Field { name: "glusterfs", ty: Object(&CORE_V1_GLUSTERFS_VOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 9], ..F },
    Field { name: "hostPath", ty: Object(&CORE_V1_HOST_PATH_VOLUME_SOURCE), numbers: &[2, 1], ..F },
    Field { name: "image", ty: Object(&CORE_V1_IMAGE_VOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 30], ..F },
    Field { name: "iscsi", ty: Object(&CORE_V1_ISCSIVOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 8], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "nfs", ty: Object(&CORE_V1_NFSVOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 7], ..F },
    Field { name: "persistentVolumeClaim", ty: Object(&CORE_V1_PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 10], ..F },
    Field { name: "photonPersistentDisk", ty: Object(&CORE_V1_PHOTON_PERSISTENT_DISK_VOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 23], ..F },
    Field { name: "portworxVolume", ty: Object(&CORE_V1_PORTWORX_VOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 24], ..F },
    Field { name: "projected", ty: Object(&CORE_V1_PROJECTED_VOLUME_SOURCE), numbers: &[2, 26], ..F },
    Field { name: "quobyte", ty: Object(&CORE_V1_QUOBYTE_VOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 21], ..F },
    Field { name: "rbd", ty: Object(&CORE_V1_RBDVOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 11], ..F },
    Field { name: "scaleIO", ty: Object(&CORE_V1_SCALE_IOVOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 25], ..F },
    Field { name: "secret", ty: Object(&CORE_V1_SECRET_VOLUME_SOURCE), numbers: &[2, 6], ..F },
    Field { name: "storageos", ty: Object(&CORE_V1_STORAGE_OSVOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 27], ..F },
    Field { name: "vsphereVolume", ty: Object(&CORE_V1_VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2, 20], ..F },
] };

pub(crate) static CORE_V1_VOLUME_DEVICE: Object = Object { name: "core.v1.VolumeDevice", atomic: false, fields: &[
    Field { name: "devicePath", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_VOLUME_MOUNT: Object = Object { name: "core.v1.VolumeMount", atomic: false, fields: &[
    Field { name: "mountPath", ty: String, required: true, numbers: &[3], ..F },
    Field { name: "mountPropagation", ty: String, values: &["None", "HostToContainer", "Bidirectional"], absent: Some(Literal::Str("None")), numbers: &[5], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "readOnly", ty: Bool, absent: Some(Literal::Bool(false)), numbers: &[2], ..F },
    Field { name: "recursiveReadOnly", ty: String, values: &["Disabled", "IfPossible", "Enabled"], support: Support::Refused { accepted: &["Disabled", "IfPossible"], note: "" }, numbers: &[7], ..F },
    Field { name: "subPath", ty: String, numbers: &[4], ..F },
    Field { name: "subPathExpr", ty: String, numbers: &[6], ..F },
] };

pub(crate) static CORE_V1_VOLUME_MOUNT_STATUS: Object = Object { name: "core.v1.VolumeMountStatus", atomic: false, fields: &[
    Field { name: "mountPath", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "readOnly", ty: Bool, numbers: &[3], ..F },
    Field { name: "recursiveReadOnly", ty: String, numbers: &[4], ..F },
    Field { name: "volumeStatus", ty: Object(&CORE_V1_VOLUME_STATUS), numbers: &[5], ..F },
] };

pub(crate) static CORE_V1_VOLUME_NODE_AFFINITY: Object = Object { name: "core.v1.VolumeNodeAffinity", atomic: false, fields: &[
    Field { name: "required", ty: Object(&CORE_V1_NODE_SELECTOR), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_VOLUME_PROJECTION: Object = Object { name: "core.v1.VolumeProjection", atomic: false, fields: &[
    Field { name: "clusterTrustBundle", ty: Object(&CORE_V1_CLUSTER_TRUST_BUNDLE_PROJECTION), support: Support::Refused { accepted: &[], note: "" }, numbers: &[5], ..F },
    Field { name: "configMap", ty: Object(&CORE_V1_CONFIG_MAP_PROJECTION), numbers: &[3], ..F },
    Field { name: "downwardAPI", ty: Object(&CORE_V1_DOWNWARD_APIPROJECTION), numbers: &[2], ..F },
    Field { name: "podCertificate", ty: Object(&CORE_V1_POD_CERTIFICATE_PROJECTION), support: Support::Refused { accepted: &[], note: "" }, numbers: &[6], ..F },
    Field { name: "secret", ty: Object(&CORE_V1_SECRET_PROJECTION), numbers: &[1], ..F },
    Field { name: "serviceAccountToken", ty: Object(&CORE_V1_SERVICE_ACCOUNT_TOKEN_PROJECTION), numbers: &[4], ..F },
] };

pub(crate) static CORE_V1_VOLUME_RESOURCE_REQUIREMENTS: Object = Object { name: "core.v1.VolumeResourceRequirements", atomic: false, fields: &[
    Field { name: "limits", ty: Map(&Quantity), numbers: &[1], ..F },
    Field { name: "requests", ty: Map(&Quantity), numbers: &[2], ..F },
] };

pub(crate) static CORE_V1_VOLUME_STATUS: Object = Object { name: "core.v1.VolumeStatus", atomic: false, fields: &[
    Field { name: "image", ty: Object(&CORE_V1_IMAGE_VOLUME_STATUS), numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE: Object = Object { name: "core.v1.VsphereVirtualDiskVolumeSource", atomic: false, fields: &[
    Field { name: "fsType", ty: String, numbers: &[2], ..F },
    Field { name: "storagePolicyID", ty: String, numbers: &[4], ..F },
    Field { name: "storagePolicyName", ty: String, numbers: &[3], ..F },
    Field { name: "volumePath", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_WEIGHTED_POD_AFFINITY_TERM: Object = Object { name: "core.v1.WeightedPodAffinityTerm", atomic: false, fields: &[
    Field { name: "podAffinityTerm", ty: Object(&CORE_V1_POD_AFFINITY_TERM), required: true, numbers: &[2], ..F },
    Field { name: "weight", ty: Int32, required: true, numbers: &[1], ..F },
] };

pub(crate) static CORE_V1_WINDOWS_SECURITY_CONTEXT_OPTIONS: Object = Object { name: "core.v1.WindowsSecurityContextOptions", atomic: false, fields: &[
    Field { name: "gmsaCredentialSpec", ty: String, numbers: &[2], ..F },
    Field { name: "gmsaCredentialSpecName", ty: String, numbers: &[1], ..F },
    Field { name: "hostProcess", ty: Bool, numbers: &[4], ..F },
    Field { name: "runAsUserName", ty: String, numbers: &[3], ..F },
] };

pub(crate) static DISCOVERY_V1_ENDPOINT: Object = Object { name: "discovery.v1.Endpoint", atomic: false, fields: &[
    Field { name: "addresses", ty: List(&String), required: true, list: ListType::Set, numbers: &[1], ..F },
    Field { name: "conditions", ty: Object(&DISCOVERY_V1_ENDPOINT_CONDITIONS), numbers: &[2], ..F },
    Field { name: "deprecatedTopology", ty: Map(&String), support: Support::Refused { accepted: &[], note: "" }, numbers: &[5], ..F },
    Field { name: "hints", ty: Object(&DISCOVERY_V1_ENDPOINT_HINTS), numbers: &[8], ..F },
    Field { name: "hostname", ty: String, numbers: &[3], ..F },
    Field { name: "nodeName", ty: String, numbers: &[6], ..F },
    Field { name: "targetRef", ty: Object(&CORE_V1_OBJECT_REFERENCE), numbers: &[4], ..F },
    Field { name: "zone", ty: String, numbers: &[7], ..F },
] };

pub(crate) static DISCOVERY_V1_ENDPOINT_CONDITIONS: Object = Object { name: "discovery.v1.EndpointConditions", atomic: false, fields: &[
    Field { name: "ready", ty: Bool, numbers: &[1], ..F },
    Field { name: "serving", ty: Bool, numbers: &[2], ..F },
    Field { name: "terminating", ty: Bool, numbers: &[3], ..F },
] };

pub(crate) static DISCOVERY_V1_ENDPOINT_HINTS: Object = Object { name: "discovery.v1.EndpointHints", atomic: false, fields: &[
    Field { name: "forNodes", ty: List(&Object(&DISCOVERY_V1_FOR_NODE)), numbers: &[2], ..F },
    Field { name: "forZones", ty: List(&Object(&DISCOVERY_V1_FOR_ZONE)), numbers: &[1], ..F },
] };

pub(crate) static DISCOVERY_V1_ENDPOINT_PORT: Object = Object { name: "discovery.v1.EndpointPort", atomic: false, fields: &[
    Field { name: "appProtocol", ty: String, numbers: &[4], ..F },
    Field { name: "name", ty: String, default: Some(Literal::Str("")), numbers: &[1], ..F },
    Field { name: "port", ty: Int32, range: Some((1, 65535)), numbers: &[3], ..F },
    Field { name: "protocol", ty: String, default: Some(Literal::Str("TCP")), values: &["TCP", "UDP", "SCTP"], support: Support::Refused { accepted: &["TCP", "UDP"], note: "" }, numbers: &[2], ..F },
] };

pub(crate) static DISCOVERY_V1_ENDPOINT_SLICE: Object = Object { name: "discovery.v1.EndpointSlice", atomic: false, fields: &[
    Field { name: "addressType", ty: String, required: true, values: &["IPv4", "IPv6", "FQDN"], support: Support::Refused { accepted: &["IPv4"], note: "" }, numbers: &[4], ..F },
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "endpoints", ty: List(&Object(&DISCOVERY_V1_ENDPOINT)), numbers: &[2], ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "ports", ty: List(&Object(&DISCOVERY_V1_ENDPOINT_PORT)), numbers: &[3], ..F },
] };

pub(crate) static DISCOVERY_V1_FOR_NODE: Object = Object { name: "discovery.v1.ForNode", atomic: false, fields: &[
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static DISCOVERY_V1_FOR_ZONE: Object = Object { name: "discovery.v1.ForZone", atomic: false, fields: &[
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_ADDRESS_POOL: Object = Object { name: "evenkeel.v1alpha1.AddressPool", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), ..F },
    Field { name: "spec", ty: Object(&EVENKEEL_V1ALPHA1_ADDRESS_POOL_SPEC), required: true, ..F },
    Field { name: "status", ty: Object(&EVENKEEL_V1ALPHA1_ADDRESS_POOL_STATUS), support: Support::Dropped, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_ADDRESS_POOL_SPEC: Object = Object { name: "evenkeel.v1alpha1.AddressPoolSpec", atomic: false, fields: &[
    Field { name: "addresses", ty: List(&String), required: true, ..F },
    Field { name: "autoAssign", ty: Bool, ..F },
    Field { name: "nodeSelector", ty: Map(&String), atomic: true, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_ADDRESS_POOL_STATUS: Object = Object { name: "evenkeel.v1alpha1.AddressPoolStatus", atomic: false, fields: &[
    Field { name: "size", ty: Int64, ..F },
    Field { name: "used", ty: Int64, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_CAUSE: Object = Object { name: "evenkeel.v1alpha1.Cause", atomic: false, fields: &[
    Field { name: "container", ty: String, ..F },
    Field { name: "logs", ty: List(&String), ..F },
    Field { name: "message", ty: String, ..F },
    Field { name: "object", ty: String, ..F },
    Field { name: "outside", ty: Bool, ..F },
    Field { name: "pod", ty: String, ..F },
    Field { name: "reason", ty: String, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_CHANGES: Object = Object { name: "evenkeel.v1alpha1.Changes", atomic: false, fields: &[
    Field { name: "changed", ty: Int64, ..F },
    Field { name: "created", ty: Int64, ..F },
    Field { name: "deleted", ty: Int64, ..F },
    Field { name: "unchanged", ty: Int64, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_DRIFT: Object = Object { name: "evenkeel.v1alpha1.Drift", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), ..F },
    Field { name: "spec", ty: Object(&EVENKEEL_V1ALPHA1_DRIFT_SPEC), required: true, ..F },
    Field { name: "status", ty: Object(&EVENKEEL_V1ALPHA1_DRIFT_STATUS), ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_DRIFT_ORIGIN: Object = Object { name: "evenkeel.v1alpha1.DriftOrigin", atomic: false, fields: &[
    Field { name: "node", ty: String, ..F },
    Field { name: "user", ty: String, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_DRIFT_SPEC: Object = Object { name: "evenkeel.v1alpha1.DriftSpec", atomic: false, fields: &[
    Field { name: "desired", ty: Any, ..F },
    Field { name: "live", ty: Any, ..F },
    Field { name: "object", ty: Object(&EVENKEEL_V1ALPHA1_OBJECT_REF), required: true, ..F },
    Field { name: "origin", ty: Object(&EVENKEEL_V1ALPHA1_DRIFT_ORIGIN), required: true, ..F },
    Field { name: "path", ty: String, required: true, ..F },
    Field { name: "source", ty: String, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_DRIFT_STATUS: Object = Object { name: "evenkeel.v1alpha1.DriftStatus", atomic: false, fields: &[
    Field { name: "contested", ty: Bool, ..F },
    Field { name: "count", ty: Int64, ..F },
    Field { name: "firstSeen", ty: Time, ..F },
    Field { name: "healedAt", ty: List(&Time), ..F },
    Field { name: "lastSeen", ty: Time, ..F },
    Field { name: "resolution", ty: String, values: &["Healed", "Adopted", "Accepted", "Superseded"], ..F },
    Field { name: "resolvedAt", ty: Time, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_GIT_SPEC: Object = Object { name: "evenkeel.v1alpha1.GitSpec", atomic: true, fields: &[
    Field { name: "branch", ty: String, ..F },
    Field { name: "commit", ty: String, ..F },
    Field { name: "knownHostsFile", ty: String, ..F },
    Field { name: "passwordFile", ty: String, ..F },
    Field { name: "sshKeyFile", ty: String, ..F },
    Field { name: "tag", ty: String, ..F },
    Field { name: "tokenFile", ty: String, ..F },
    Field { name: "url", ty: String, required: true, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_GOOD_REVISION: Object = Object { name: "evenkeel.v1alpha1.GoodRevision", atomic: false, fields: &[
    Field { name: "digest", ty: String, required: true, ..F },
    Field { name: "revision", ty: String, required: true, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_IGNORE_DIFFERENCE: Object = Object { name: "evenkeel.v1alpha1.IgnoreDifference", atomic: false, fields: &[
    Field { name: "kind", ty: String, required: true, ..F },
    Field { name: "name", ty: String, ..F },
    Field { name: "namespace", ty: String, ..F },
    Field { name: "path", ty: String, required: true, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_MASS_DELETE: Object = Object { name: "evenkeel.v1alpha1.MassDelete", atomic: false, fields: &[
    Field { name: "count", ty: Int32, range: Some((0, i64::MAX)), ..F },
    Field { name: "fraction", ty: Double, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_MAX_UNSETTLED: Object = Object { name: "evenkeel.v1alpha1.MaxUnsettled", atomic: false, fields: &[
    Field { name: "age", ty: String, ..F },
    Field { name: "commits", ty: Int32, range: Some((1, i64::MAX)), ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_OBJECT_REF: Object = Object { name: "evenkeel.v1alpha1.ObjectRef", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, required: true, ..F },
    Field { name: "kind", ty: String, required: true, ..F },
    Field { name: "name", ty: String, required: true, ..F },
    Field { name: "namespace", ty: String, ..F },
    Field { name: "uid", ty: String, required: true, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_PHASE_AT: Object = Object { name: "evenkeel.v1alpha1.PhaseAt", atomic: false, fields: &[
    Field { name: "at", ty: Time, required: true, ..F },
    Field { name: "phase", ty: String, required: true, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_PIN: Object = Object { name: "evenkeel.v1alpha1.Pin", atomic: false, fields: &[
    Field { name: "by", ty: String, required: true, ..F },
    Field { name: "reason", ty: String, ..F },
    Field { name: "revision", ty: String, required: true, ..F },
    Field { name: "since", ty: Time, required: true, ..F },
    Field { name: "untilNextCommit", ty: Bool, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_QUARANTINED: Object = Object { name: "evenkeel.v1alpha1.Quarantined", atomic: false, fields: &[
    Field { name: "digest", ty: String, required: true, ..F },
    Field { name: "revision", ty: String, required: true, ..F },
    Field { name: "since", ty: Time, required: true, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_RELEASE: Object = Object { name: "evenkeel.v1alpha1.Release", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), ..F },
    Field { name: "spec", ty: Object(&EVENKEEL_V1ALPHA1_RELEASE_SPEC), required: true, ..F },
    Field { name: "status", ty: Object(&EVENKEEL_V1ALPHA1_RELEASE_STATUS), ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_RELEASE_SPEC: Object = Object { name: "evenkeel.v1alpha1.ReleaseSpec", atomic: false, fields: &[
    Field { name: "author", ty: String, ..F },
    Field { name: "digest", ty: String, ..F },
    Field { name: "message", ty: String, ..F },
    Field { name: "requestedBy", ty: String, ..F },
    Field { name: "revision", ty: String, required: true, ..F },
    Field { name: "source", ty: String, required: true, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_RELEASE_STATUS: Object = Object { name: "evenkeel.v1alpha1.ReleaseStatus", atomic: false, fields: &[
    Field { name: "allowMassDelete", ty: Bool, ..F },
    Field { name: "attempts", ty: Int64, ..F },
    Field { name: "cause", ty: Object(&EVENKEEL_V1ALPHA1_CAUSE), ..F },
    Field { name: "changes", ty: Object(&EVENKEEL_V1ALPHA1_CHANGES), ..F },
    Field { name: "created", ty: List(&String), ..F },
    Field { name: "diagnostics", ty: List(&String), ..F },
    Field { name: "ended", ty: Map(&Int32), ..F },
    Field { name: "message", ty: String, ..F },
    Field { name: "now", ty: Bool, ..F },
    Field { name: "phase", ty: String, required: true, values: &["Pending", "Rejected", "Progressing", "Healthy", "Failed", "RollingBack", "RolledBack", "RollbackFailed", "Superseded"], ..F },
    Field { name: "reason", ty: String, ..F },
    Field { name: "rollbackTo", ty: String, ..F },
    Field { name: "takesBack", ty: List(&String), ..F },
    Field { name: "timeline", ty: List(&Object(&EVENKEEL_V1ALPHA1_PHASE_AT)), ..F },
    Field { name: "unconfirmed", ty: Bool, ..F },
    Field { name: "workloads", ty: List(&String), ..F },
    Field { name: "written", ty: Bool, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_SOURCE: Object = Object { name: "evenkeel.v1alpha1.Source", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), ..F },
    Field { name: "spec", ty: Object(&EVENKEEL_V1ALPHA1_SOURCE_SPEC), required: true, ..F },
    Field { name: "status", ty: Object(&EVENKEEL_V1ALPHA1_SOURCE_STATUS), support: Support::Dropped, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_SOURCE_SPEC: Object = Object { name: "evenkeel.v1alpha1.SourceSpec", atomic: false, fields: &[
    Field { name: "crashLimit", ty: Int32, range: Some((1, i64::MAX)), ..F },
    Field { name: "directory", ty: String, ..F },
    Field { name: "git", ty: Object(&EVENKEEL_V1ALPHA1_GIT_SPEC), ..F },
    Field { name: "ignoreDifferences", ty: List(&Object(&EVENKEEL_V1ALPHA1_IGNORE_DIFFERENCE)), ..F },
    Field { name: "interval", ty: String, ..F },
    Field { name: "locked", ty: Bool, ..F },
    Field { name: "massDelete", ty: Object(&EVENKEEL_V1ALPHA1_MASS_DELETE), ..F },
    Field { name: "maxUnsettled", ty: Object(&EVENKEEL_V1ALPHA1_MAX_UNSETTLED), ..F },
    Field { name: "path", ty: String, ..F },
    Field { name: "rollback", ty: String, values: &["auto", "manual", "off"], ..F },
    Field { name: "selfHeal", ty: Bool, ..F },
    Field { name: "suspend", ty: Bool, ..F },
    Field { name: "unsupported", ty: String, values: &["reject", "skip"], ..F },
    Field { name: "watchWindow", ty: String, ..F },
    Field { name: "webhookSecretFile", ty: String, ..F },
] };

pub(crate) static EVENKEEL_V1ALPHA1_SOURCE_STATUS: Object = Object { name: "evenkeel.v1alpha1.SourceStatus", atomic: false, fields: &[
    Field { name: "appliedDigest", ty: String, ..F },
    Field { name: "appliedRevision", ty: String, ..F },
    Field { name: "conditions", ty: List(&Object(&META_V1_CONDITION)), list: ListType::Map(&["type"]), ..F },
    Field { name: "currentRelease", ty: String, ..F },
    Field { name: "earlierGood", ty: List(&Object(&EVENKEEL_V1ALPHA1_GOOD_REVISION)), ..F },
    Field { name: "lastGoodDigest", ty: String, ..F },
    Field { name: "lastGoodRevision", ty: String, ..F },
    Field { name: "observedRevision", ty: String, ..F },
    Field { name: "pendingRelease", ty: String, ..F },
    Field { name: "pinned", ty: Object(&EVENKEEL_V1ALPHA1_PIN), ..F },
    Field { name: "quarantined", ty: List(&Object(&EVENKEEL_V1ALPHA1_QUARANTINED)), ..F },
] };

pub(crate) static EVENTS_V1_EVENT: Object = Object { name: "events.v1.Event", atomic: false, fields: &[
    Field { name: "action", ty: String, numbers: &[6], ..F },
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "deprecatedCount", ty: Int32, numbers: &[15], ..F },
    Field { name: "deprecatedFirstTimestamp", ty: Time, numbers: &[13], ..F },
    Field { name: "deprecatedLastTimestamp", ty: Time, numbers: &[14], ..F },
    Field { name: "deprecatedSource", ty: Object(&CORE_V1_EVENT_SOURCE), numbers: &[12], ..F },
    Field { name: "eventTime", ty: Time, required: true, numbers: &[2], ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "note", ty: String, numbers: &[10], ..F },
    Field { name: "reason", ty: String, numbers: &[7], ..F },
    Field { name: "regarding", ty: Object(&CORE_V1_OBJECT_REFERENCE), numbers: &[8], ..F },
    Field { name: "related", ty: Object(&CORE_V1_OBJECT_REFERENCE), numbers: &[9], ..F },
    Field { name: "reportingController", ty: String, numbers: &[4], ..F },
    Field { name: "reportingInstance", ty: String, numbers: &[5], ..F },
    Field { name: "series", ty: Object(&EVENTS_V1_EVENT_SERIES), numbers: &[3], ..F },
    Field { name: "type", ty: String, numbers: &[11], ..F },
] };

pub(crate) static EVENTS_V1_EVENT_SERIES: Object = Object { name: "events.v1.EventSeries", atomic: false, fields: &[
    Field { name: "count", ty: Int32, required: true, numbers: &[1], ..F },
    Field { name: "lastObservedTime", ty: Time, required: true, numbers: &[2], ..F },
] };

pub(crate) static META_V1_CONDITION: Object = Object { name: "meta.v1.Condition", atomic: false, fields: &[
    Field { name: "lastTransitionTime", ty: Time, required: true, numbers: &[4], ..F },
    Field { name: "message", ty: String, required: true, numbers: &[6], ..F },
    Field { name: "observedGeneration", ty: Int64, numbers: &[3], ..F },
    Field { name: "reason", ty: String, required: true, numbers: &[5], ..F },
    Field { name: "status", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "type", ty: String, required: true, numbers: &[1], ..F },
] };

pub(crate) static META_V1_DELETE_OPTIONS: Object = Object { name: "meta.v1.DeleteOptions", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "dryRun", ty: List(&String), numbers: &[5], ..F },
    Field { name: "gracePeriodSeconds", ty: Int64, numbers: &[1], ..F },
    Field { name: "ignoreStoreReadErrorWithClusterBreakingPotential", ty: Bool, numbers: &[6], ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "orphanDependents", ty: Bool, numbers: &[3], ..F },
    Field { name: "preconditions", ty: Object(&META_V1_PRECONDITIONS), numbers: &[2], ..F },
    Field { name: "propagationPolicy", ty: String, numbers: &[4], ..F },
] };

pub(crate) static META_V1_FIELD_SELECTOR_REQUIREMENT: Object = Object { name: "meta.v1.FieldSelectorRequirement", atomic: false, fields: &[
    Field { name: "key", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "operator", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "values", ty: List(&String), numbers: &[3], ..F },
] };

pub(crate) static META_V1_LABEL_SELECTOR: Object = Object { name: "meta.v1.LabelSelector", atomic: true, fields: &[
    Field { name: "matchExpressions", ty: List(&Object(&META_V1_LABEL_SELECTOR_REQUIREMENT)), numbers: &[2], ..F },
    Field { name: "matchLabels", ty: Map(&String), numbers: &[1], ..F },
] };

pub(crate) static META_V1_LABEL_SELECTOR_REQUIREMENT: Object = Object { name: "meta.v1.LabelSelectorRequirement", atomic: false, fields: &[
    Field { name: "key", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "operator", ty: String, required: true, values: &["In", "NotIn", "Exists", "DoesNotExist"], numbers: &[2], ..F },
    Field { name: "values", ty: List(&String), numbers: &[3], ..F },
] };

pub(crate) static META_V1_MANAGED_FIELDS_ENTRY: Object = Object { name: "meta.v1.ManagedFieldsEntry", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, numbers: &[3], ..F },
    Field { name: "fieldsType", ty: String, numbers: &[6], ..F },
    Field { name: "fieldsV1", ty: Any, numbers: &[7], ..F },
    Field { name: "manager", ty: String, numbers: &[1], ..F },
    Field { name: "operation", ty: String, numbers: &[2], ..F },
    Field { name: "subresource", ty: String, numbers: &[8], ..F },
    Field { name: "time", ty: Time, numbers: &[4], ..F },
] };

pub(crate) static META_V1_OBJECT_META: Object = Object { name: "meta.v1.ObjectMeta", atomic: false, fields: &[
    Field { name: "annotations", ty: Map(&String), numbers: &[12], ..F },
    Field { name: "creationTimestamp", ty: Time, support: Support::Dropped, numbers: &[8], ..F },
    Field { name: "deletionGracePeriodSeconds", ty: Int64, support: Support::Dropped, numbers: &[10], ..F },
    Field { name: "deletionTimestamp", ty: Time, support: Support::Dropped, numbers: &[9], ..F },
    Field { name: "finalizers", ty: List(&String), list: ListType::Set, patch: Patch::Merge, support: Support::Refused { accepted: &[], note: "" }, numbers: &[14], ..F },
    Field { name: "generateName", ty: String, support: Support::Refused { accepted: &[], note: "an object of a source has a name of its own" }, numbers: &[2], ..F },
    Field { name: "generation", ty: Int64, support: Support::Dropped, numbers: &[7], ..F },
    Field { name: "labels", ty: Map(&String), numbers: &[11], ..F },
    Field { name: "managedFields", ty: List(&Object(&META_V1_MANAGED_FIELDS_ENTRY)), support: Support::Dropped, numbers: &[17], ..F },
    Field { name: "name", ty: String, numbers: &[1], ..F },
    Field { name: "namespace", ty: String, numbers: &[3], ..F },
    Field { name: "ownerReferences", ty: List(&Object(&META_V1_OWNER_REFERENCE)), list: ListType::Map(&["uid"]), patch: Patch::MergeBy("uid"), support: Support::Refused { accepted: &[], note: "" }, numbers: &[13], ..F },
    Field { name: "resourceVersion", ty: String, support: Support::Dropped, numbers: &[6], ..F },
    Field { name: "selfLink", ty: String, support: Support::Dropped, numbers: &[4], ..F },
    Field { name: "uid", ty: String, support: Support::Dropped, numbers: &[5], ..F },
] };

pub(crate) static META_V1_OWNER_REFERENCE: Object = Object { name: "meta.v1.OwnerReference", atomic: true, fields: &[
    Field { name: "apiVersion", ty: String, required: true, numbers: &[5], ..F },
    Field { name: "blockOwnerDeletion", ty: Bool, numbers: &[7], ..F },
    Field { name: "controller", ty: Bool, numbers: &[6], ..F },
    Field { name: "kind", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[3], ..F },
    Field { name: "uid", ty: String, required: true, numbers: &[4], ..F },
] };

pub(crate) static META_V1_PRECONDITIONS: Object = Object { name: "meta.v1.Preconditions", atomic: false, fields: &[
    Field { name: "resourceVersion", ty: String, numbers: &[2], ..F },
    Field { name: "uid", ty: String, numbers: &[1], ..F },
] };

pub(crate) static NETWORKING_V1_HTTPINGRESS_PATH: Object = Object { name: "networking.v1.HTTPIngressPath", atomic: false, fields: &[
    Field { name: "backend", ty: Object(&NETWORKING_V1_INGRESS_BACKEND), required: true, numbers: &[2], ..F },
    Field { name: "path", ty: String, numbers: &[1], ..F },
    Field { name: "pathType", ty: String, required: true, values: &["Exact", "Prefix", "ImplementationSpecific"], numbers: &[3], ..F },
] };

pub(crate) static NETWORKING_V1_HTTPINGRESS_RULE_VALUE: Object = Object { name: "networking.v1.HTTPIngressRuleValue", atomic: false, fields: &[
    Field { name: "paths", ty: List(&Object(&NETWORKING_V1_HTTPINGRESS_PATH)), required: true, numbers: &[1], ..F },
] };

pub(crate) static NETWORKING_V1_IPADDRESS: Object = Object { name: "networking.v1.IPAddress", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&NETWORKING_V1_IPADDRESS_SPEC), required: true, numbers: &[2], ..F },
] };

pub(crate) static NETWORKING_V1_IPADDRESS_SPEC: Object = Object { name: "networking.v1.IPAddressSpec", atomic: false, fields: &[
    Field { name: "parentRef", ty: Object(&NETWORKING_V1_PARENT_REFERENCE), required: true, numbers: &[1], ..F },
] };

pub(crate) static NETWORKING_V1_IPBLOCK: Object = Object { name: "networking.v1.IPBlock", atomic: false, fields: &[
    Field { name: "cidr", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "except", ty: List(&String), numbers: &[2], ..F },
] };

pub(crate) static NETWORKING_V1_INGRESS: Object = Object { name: "networking.v1.Ingress", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&NETWORKING_V1_INGRESS_SPEC), required: true, numbers: &[2], ..F },
    Field { name: "status", ty: Object(&NETWORKING_V1_INGRESS_STATUS), support: Support::Dropped, numbers: &[3], ..F },
] };

pub(crate) static NETWORKING_V1_INGRESS_BACKEND: Object = Object { name: "networking.v1.IngressBackend", atomic: false, fields: &[
    Field { name: "resource", ty: Object(&CORE_V1_TYPED_LOCAL_OBJECT_REFERENCE), support: Support::Refused { accepted: &[], note: "a Service answers requests" }, numbers: &[3], ..F },
    Field { name: "service", ty: Object(&NETWORKING_V1_INGRESS_SERVICE_BACKEND), numbers: &[4], ..F },
] };

pub(crate) static NETWORKING_V1_INGRESS_CLASS: Object = Object { name: "networking.v1.IngressClass", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&NETWORKING_V1_INGRESS_CLASS_SPEC), numbers: &[2], ..F },
] };

pub(crate) static NETWORKING_V1_INGRESS_CLASS_PARAMETERS_REFERENCE: Object = Object { name: "networking.v1.IngressClassParametersReference", atomic: false, fields: &[
    Field { name: "apiGroup", ty: String, numbers: &[1], ..F },
    Field { name: "kind", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[3], ..F },
    Field { name: "namespace", ty: String, numbers: &[5], ..F },
    Field { name: "scope", ty: String, numbers: &[4], ..F },
] };

pub(crate) static NETWORKING_V1_INGRESS_CLASS_SPEC: Object = Object { name: "networking.v1.IngressClassSpec", atomic: false, fields: &[
    Field { name: "controller", ty: String, numbers: &[1], ..F },
    Field { name: "parameters", ty: Object(&NETWORKING_V1_INGRESS_CLASS_PARAMETERS_REFERENCE), support: Support::Refused { accepted: &[], note: "" }, numbers: &[2], ..F },
] };

pub(crate) static NETWORKING_V1_INGRESS_LOAD_BALANCER_INGRESS: Object = Object { name: "networking.v1.IngressLoadBalancerIngress", atomic: false, fields: &[
    Field { name: "hostname", ty: String, numbers: &[2], ..F },
    Field { name: "ip", ty: String, numbers: &[1], ..F },
    Field { name: "ports", ty: List(&Object(&NETWORKING_V1_INGRESS_PORT_STATUS)), numbers: &[4], ..F },
] };

pub(crate) static NETWORKING_V1_INGRESS_LOAD_BALANCER_STATUS: Object = Object { name: "networking.v1.IngressLoadBalancerStatus", atomic: false, fields: &[
    Field { name: "ingress", ty: List(&Object(&NETWORKING_V1_INGRESS_LOAD_BALANCER_INGRESS)), numbers: &[1], ..F },
] };

pub(crate) static NETWORKING_V1_INGRESS_PORT_STATUS: Object = Object { name: "networking.v1.IngressPortStatus", atomic: false, fields: &[
    Field { name: "error", ty: String, numbers: &[3], ..F },
    Field { name: "port", ty: Int32, required: true, numbers: &[1], ..F },
    Field { name: "protocol", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static NETWORKING_V1_INGRESS_RULE: Object = Object { name: "networking.v1.IngressRule", atomic: false, fields: &[
    Field { name: "host", ty: String, numbers: &[1], ..F },
    Field { name: "http", ty: Object(&NETWORKING_V1_HTTPINGRESS_RULE_VALUE), numbers: &[2, 1], ..F },
] };

pub(crate) static NETWORKING_V1_INGRESS_SERVICE_BACKEND: Object = Object { name: "networking.v1.IngressServiceBackend", atomic: false, fields: &[
    Field { name: "name", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "port", ty: Object(&NETWORKING_V1_SERVICE_BACKEND_PORT), required: true, numbers: &[2], ..F },
] };

pub(crate) static NETWORKING_V1_INGRESS_SPEC: Object = Object { name: "networking.v1.IngressSpec", atomic: false, fields: &[
    Field { name: "defaultBackend", ty: Object(&NETWORKING_V1_INGRESS_BACKEND), numbers: &[1], ..F },
    Field { name: "ingressClassName", ty: String, numbers: &[4], ..F },
    Field { name: "rules", ty: List(&Object(&NETWORKING_V1_INGRESS_RULE)), numbers: &[3], ..F },
    Field { name: "tls", ty: List(&Object(&NETWORKING_V1_INGRESS_TLS)), numbers: &[2], ..F },
] };

pub(crate) static NETWORKING_V1_INGRESS_STATUS: Object = Object { name: "networking.v1.IngressStatus", atomic: false, fields: &[
    Field { name: "loadBalancer", ty: Object(&NETWORKING_V1_INGRESS_LOAD_BALANCER_STATUS), numbers: &[1], ..F },
] };

pub(crate) static NETWORKING_V1_INGRESS_TLS: Object = Object { name: "networking.v1.IngressTLS", atomic: false, fields: &[
    Field { name: "hosts", ty: List(&String), numbers: &[1], ..F },
    Field { name: "secretName", ty: String, numbers: &[2], ..F },
] };

pub(crate) static NETWORKING_V1_NETWORK_POLICY: Object = Object { name: "networking.v1.NetworkPolicy", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&NETWORKING_V1_NETWORK_POLICY_SPEC), numbers: &[2], ..F },
] };

pub(crate) static NETWORKING_V1_NETWORK_POLICY_EGRESS_RULE: Object = Object { name: "networking.v1.NetworkPolicyEgressRule", atomic: false, fields: &[
    Field { name: "ports", ty: List(&Object(&NETWORKING_V1_NETWORK_POLICY_PORT)), numbers: &[1], ..F },
    Field { name: "to", ty: List(&Object(&NETWORKING_V1_NETWORK_POLICY_PEER)), numbers: &[2], ..F },
] };

pub(crate) static NETWORKING_V1_NETWORK_POLICY_INGRESS_RULE: Object = Object { name: "networking.v1.NetworkPolicyIngressRule", atomic: false, fields: &[
    Field { name: "from", ty: List(&Object(&NETWORKING_V1_NETWORK_POLICY_PEER)), numbers: &[2], ..F },
    Field { name: "ports", ty: List(&Object(&NETWORKING_V1_NETWORK_POLICY_PORT)), numbers: &[1], ..F },
] };

pub(crate) static NETWORKING_V1_NETWORK_POLICY_PEER: Object = Object { name: "networking.v1.NetworkPolicyPeer", atomic: false, fields: &[
    Field { name: "ipBlock", ty: Object(&NETWORKING_V1_IPBLOCK), numbers: &[3], ..F },
    Field { name: "namespaceSelector", ty: Object(&META_V1_LABEL_SELECTOR), numbers: &[2], ..F },
    Field { name: "podSelector", ty: Object(&META_V1_LABEL_SELECTOR), numbers: &[1], ..F },
] };

pub(crate) static NETWORKING_V1_NETWORK_POLICY_PORT: Object = Object { name: "networking.v1.NetworkPolicyPort", atomic: false, fields: &[
    Field { name: "endPort", ty: Int32, numbers: &[3], ..F },
    Field { name: "port", ty: IntOrString, numbers: &[2], ..F },
    Field { name: "protocol", ty: String, default: Some(Literal::Str("TCP")), support: Support::Refused { accepted: &["TCP", "UDP"], note: "" }, numbers: &[1], ..F },
] };

pub(crate) static NETWORKING_V1_NETWORK_POLICY_SPEC: Object = Object { name: "networking.v1.NetworkPolicySpec", atomic: false, fields: &[
    Field { name: "egress", ty: List(&Object(&NETWORKING_V1_NETWORK_POLICY_EGRESS_RULE)), numbers: &[3], ..F },
    Field { name: "ingress", ty: List(&Object(&NETWORKING_V1_NETWORK_POLICY_INGRESS_RULE)), numbers: &[2], ..F },
    Field { name: "podSelector", ty: Object(&META_V1_LABEL_SELECTOR), numbers: &[1], ..F },
    Field { name: "policyTypes", ty: List(&String), values: &["Ingress", "Egress"], numbers: &[4], ..F },
] };

pub(crate) static NETWORKING_V1_PARENT_REFERENCE: Object = Object { name: "networking.v1.ParentReference", atomic: false, fields: &[
    Field { name: "group", ty: String, numbers: &[1], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[4], ..F },
    Field { name: "namespace", ty: String, numbers: &[3], ..F },
    Field { name: "resource", ty: String, required: true, numbers: &[2], ..F },
] };

pub(crate) static NETWORKING_V1_SERVICE_BACKEND_PORT: Object = Object { name: "networking.v1.ServiceBackendPort", atomic: false, fields: &[
    Field { name: "name", ty: String, numbers: &[1], ..F },
    Field { name: "number", ty: Int32, range: Some((0, 65535)), numbers: &[2], ..F },
] };

pub(crate) static NETWORKING_V1_SERVICE_CIDR: Object = Object { name: "networking.v1.ServiceCIDR", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&NETWORKING_V1_SERVICE_CIDRSPEC), numbers: &[2], ..F },
    Field { name: "status", ty: Object(&NETWORKING_V1_SERVICE_CIDRSTATUS), numbers: &[3], ..F },
] };

pub(crate) static NETWORKING_V1_SERVICE_CIDRSPEC: Object = Object { name: "networking.v1.ServiceCIDRSpec", atomic: false, fields: &[
    Field { name: "cidrs", ty: List(&String), numbers: &[1], ..F },
] };

pub(crate) static NETWORKING_V1_SERVICE_CIDRSTATUS: Object = Object { name: "networking.v1.ServiceCIDRStatus", atomic: false, fields: &[
    Field { name: "conditions", ty: List(&Object(&META_V1_CONDITION)), list: ListType::Map(&["type"]), patch: Patch::MergeBy("type"), numbers: &[1], ..F },
] };

pub(crate) static POLICY_V1_EVICTION: Object = Object { name: "policy.v1.Eviction", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "deleteOptions", ty: Object(&META_V1_DELETE_OPTIONS), numbers: &[2], ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
] };

pub(crate) static POLICY_V1_POD_DISRUPTION_BUDGET: Object = Object { name: "policy.v1.PodDisruptionBudget", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "spec", ty: Object(&POLICY_V1_POD_DISRUPTION_BUDGET_SPEC), required: true, numbers: &[2], ..F },
    Field { name: "status", ty: Object(&POLICY_V1_POD_DISRUPTION_BUDGET_STATUS), support: Support::Dropped, numbers: &[3], ..F },
] };

pub(crate) static POLICY_V1_POD_DISRUPTION_BUDGET_SPEC: Object = Object { name: "policy.v1.PodDisruptionBudgetSpec", atomic: false, fields: &[
    Field { name: "maxUnavailable", ty: IntOrString, numbers: &[3], ..F },
    Field { name: "minAvailable", ty: IntOrString, numbers: &[1], ..F },
    Field { name: "selector", ty: Object(&META_V1_LABEL_SELECTOR), numbers: &[2], ..F },
    Field { name: "unhealthyPodEvictionPolicy", ty: String, values: &["IfHealthyBudget", "AlwaysAllow"], numbers: &[4], ..F },
] };

pub(crate) static POLICY_V1_POD_DISRUPTION_BUDGET_STATUS: Object = Object { name: "policy.v1.PodDisruptionBudgetStatus", atomic: false, fields: &[
    Field { name: "conditions", ty: List(&Object(&META_V1_CONDITION)), list: ListType::Map(&["type"]), patch: Patch::MergeBy("type"), numbers: &[7], ..F },
    Field { name: "currentHealthy", ty: Int32, numbers: &[4], ..F },
    Field { name: "desiredHealthy", ty: Int32, numbers: &[5], ..F },
    Field { name: "disruptedPods", ty: Map(&Time), numbers: &[2], ..F },
    Field { name: "disruptionsAllowed", ty: Int32, numbers: &[3], ..F },
    Field { name: "expectedPods", ty: Int32, numbers: &[6], ..F },
    Field { name: "observedGeneration", ty: Int64, numbers: &[1], ..F },
] };

pub(crate) static RBAC_V1_AGGREGATION_RULE: Object = Object { name: "rbac.v1.AggregationRule", atomic: false, fields: &[
    Field { name: "clusterRoleSelectors", ty: List(&Object(&META_V1_LABEL_SELECTOR)), numbers: &[1], ..F },
] };

pub(crate) static RBAC_V1_CLUSTER_ROLE: Object = Object { name: "rbac.v1.ClusterRole", atomic: false, fields: &[
    Field { name: "aggregationRule", ty: Object(&RBAC_V1_AGGREGATION_RULE), numbers: &[3], ..F },
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "rules", ty: List(&Object(&RBAC_V1_POLICY_RULE)), numbers: &[2], ..F },
] };

pub(crate) static RBAC_V1_CLUSTER_ROLE_BINDING: Object = Object { name: "rbac.v1.ClusterRoleBinding", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "roleRef", ty: Object(&RBAC_V1_ROLE_REF), required: true, numbers: &[3], ..F },
    Field { name: "subjects", ty: List(&Object(&RBAC_V1_SUBJECT)), numbers: &[2], ..F },
] };

pub(crate) static RBAC_V1_POLICY_RULE: Object = Object { name: "rbac.v1.PolicyRule", atomic: false, fields: &[
    Field { name: "apiGroups", ty: List(&String), numbers: &[2], ..F },
    Field { name: "nonResourceURLs", ty: List(&String), numbers: &[5], ..F },
    Field { name: "resourceNames", ty: List(&String), numbers: &[4], ..F },
    Field { name: "resources", ty: List(&String), numbers: &[3], ..F },
    Field { name: "verbs", ty: List(&String), required: true, numbers: &[1], ..F },
] };

pub(crate) static RBAC_V1_ROLE: Object = Object { name: "rbac.v1.Role", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "rules", ty: List(&Object(&RBAC_V1_POLICY_RULE)), numbers: &[2], ..F },
] };

pub(crate) static RBAC_V1_ROLE_BINDING: Object = Object { name: "rbac.v1.RoleBinding", atomic: false, fields: &[
    Field { name: "apiVersion", ty: String, ..F },
    Field { name: "kind", ty: String, ..F },
    Field { name: "metadata", ty: Object(&META_V1_OBJECT_META), numbers: &[1], ..F },
    Field { name: "roleRef", ty: Object(&RBAC_V1_ROLE_REF), required: true, numbers: &[3], ..F },
    Field { name: "subjects", ty: List(&Object(&RBAC_V1_SUBJECT)), numbers: &[2], ..F },
] };

pub(crate) static RBAC_V1_ROLE_REF: Object = Object { name: "rbac.v1.RoleRef", atomic: false, fields: &[
    Field { name: "apiGroup", ty: String, default: Some(Literal::Str("rbac.authorization.k8s.io")), numbers: &[1], ..F },
    Field { name: "kind", ty: String, required: true, numbers: &[2], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[3], ..F },
] };

pub(crate) static RBAC_V1_SUBJECT: Object = Object { name: "rbac.v1.Subject", atomic: false, fields: &[
    Field { name: "apiGroup", ty: String, numbers: &[2], ..F },
    Field { name: "kind", ty: String, required: true, numbers: &[1], ..F },
    Field { name: "name", ty: String, required: true, numbers: &[3], ..F },
    Field { name: "namespace", ty: String, numbers: &[4], ..F },
] };

/// Every definition's type by name, in their order.
pub(crate) static ALL: &[Type] = &[
    Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_COLUMN_DEFINITION),
    Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_CONVERSION),
    Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION),
    Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_CONDITION),
    Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_NAMES),
    Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_SPEC),
    Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_STATUS),
    Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_DEFINITION_VERSION),
    Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_SUBRESOURCE_SCALE),
    Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_SUBRESOURCES),
    Object(&APIEXTENSIONS_V1_CUSTOM_RESOURCE_VALIDATION),
    Object(&APIEXTENSIONS_V1_EXTERNAL_DOCUMENTATION),
    Object(&APIEXTENSIONS_V1_JSONSCHEMA_PROPS),
    Object(&APIEXTENSIONS_V1_SELECTABLE_FIELD),
    Object(&APIEXTENSIONS_V1_SERVICE_REFERENCE),
    Object(&APIEXTENSIONS_V1_VALIDATION_RULE),
    Object(&APIEXTENSIONS_V1_WEBHOOK_CLIENT_CONFIG),
    Object(&APIEXTENSIONS_V1_WEBHOOK_CONVERSION),
    Object(&APPS_V1_CONTROLLER_REVISION),
    Object(&APPS_V1_DAEMON_SET),
    Object(&APPS_V1_DAEMON_SET_CONDITION),
    Object(&APPS_V1_DAEMON_SET_SPEC),
    Object(&APPS_V1_DAEMON_SET_STATUS),
    Object(&APPS_V1_DAEMON_SET_UPDATE_STRATEGY),
    Object(&APPS_V1_DEPLOYMENT),
    Object(&APPS_V1_DEPLOYMENT_CONDITION),
    Object(&APPS_V1_DEPLOYMENT_SPEC),
    Object(&APPS_V1_DEPLOYMENT_STATUS),
    Object(&APPS_V1_DEPLOYMENT_STRATEGY),
    Object(&APPS_V1_REPLICA_SET),
    Object(&APPS_V1_REPLICA_SET_CONDITION),
    Object(&APPS_V1_REPLICA_SET_SPEC),
    Object(&APPS_V1_REPLICA_SET_STATUS),
    Object(&APPS_V1_ROLLING_UPDATE_DAEMON_SET),
    Object(&APPS_V1_ROLLING_UPDATE_DEPLOYMENT),
    Object(&APPS_V1_ROLLING_UPDATE_STATEFUL_SET_STRATEGY),
    Object(&APPS_V1_STATEFUL_SET),
    Object(&APPS_V1_STATEFUL_SET_CONDITION),
    Object(&APPS_V1_STATEFUL_SET_ORDINALS),
    Object(&APPS_V1_STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY),
    Object(&APPS_V1_STATEFUL_SET_SPEC),
    Object(&APPS_V1_STATEFUL_SET_STATUS),
    Object(&APPS_V1_STATEFUL_SET_UPDATE_STRATEGY),
    Object(&AUTHENTICATION_V1_BOUND_OBJECT_REFERENCE),
    Object(&AUTHENTICATION_V1_SELF_SUBJECT_REVIEW),
    Object(&AUTHENTICATION_V1_SELF_SUBJECT_REVIEW_STATUS),
    Object(&AUTHENTICATION_V1_TOKEN_REQUEST),
    Object(&AUTHENTICATION_V1_TOKEN_REQUEST_SPEC),
    Object(&AUTHENTICATION_V1_TOKEN_REQUEST_STATUS),
    Object(&AUTHENTICATION_V1_TOKEN_REVIEW),
    Object(&AUTHENTICATION_V1_TOKEN_REVIEW_SPEC),
    Object(&AUTHENTICATION_V1_TOKEN_REVIEW_STATUS),
    Object(&AUTHENTICATION_V1_USER_INFO),
    Object(&AUTHORIZATION_V1_FIELD_SELECTOR_ATTRIBUTES),
    Object(&AUTHORIZATION_V1_LABEL_SELECTOR_ATTRIBUTES),
    Object(&AUTHORIZATION_V1_LOCAL_SUBJECT_ACCESS_REVIEW),
    Object(&AUTHORIZATION_V1_NON_RESOURCE_ATTRIBUTES),
    Object(&AUTHORIZATION_V1_NON_RESOURCE_RULE),
    Object(&AUTHORIZATION_V1_RESOURCE_ATTRIBUTES),
    Object(&AUTHORIZATION_V1_RESOURCE_RULE),
    Object(&AUTHORIZATION_V1_SELF_SUBJECT_ACCESS_REVIEW),
    Object(&AUTHORIZATION_V1_SELF_SUBJECT_ACCESS_REVIEW_SPEC),
    Object(&AUTHORIZATION_V1_SELF_SUBJECT_RULES_REVIEW),
    Object(&AUTHORIZATION_V1_SELF_SUBJECT_RULES_REVIEW_SPEC),
    Object(&AUTHORIZATION_V1_SUBJECT_ACCESS_REVIEW),
    Object(&AUTHORIZATION_V1_SUBJECT_ACCESS_REVIEW_SPEC),
    Object(&AUTHORIZATION_V1_SUBJECT_ACCESS_REVIEW_STATUS),
    Object(&AUTHORIZATION_V1_SUBJECT_RULES_REVIEW_STATUS),
    Object(&AUTOSCALING_V1_SCALE),
    Object(&AUTOSCALING_V1_SCALE_SPEC),
    Object(&AUTOSCALING_V1_SCALE_STATUS),
    Object(&BATCH_V1_CRON_JOB),
    Object(&BATCH_V1_CRON_JOB_SPEC),
    Object(&BATCH_V1_CRON_JOB_STATUS),
    Object(&BATCH_V1_JOB),
    Object(&BATCH_V1_JOB_CONDITION),
    Object(&BATCH_V1_JOB_SPEC),
    Object(&BATCH_V1_JOB_STATUS),
    Object(&BATCH_V1_JOB_TEMPLATE_SPEC),
    Object(&BATCH_V1_POD_FAILURE_POLICY),
    Object(&BATCH_V1_POD_FAILURE_POLICY_ON_EXIT_CODES_REQUIREMENT),
    Object(&BATCH_V1_POD_FAILURE_POLICY_ON_POD_CONDITIONS_PATTERN),
    Object(&BATCH_V1_POD_FAILURE_POLICY_RULE),
    Object(&BATCH_V1_SUCCESS_POLICY),
    Object(&BATCH_V1_SUCCESS_POLICY_RULE),
    Object(&BATCH_V1_UNCOUNTED_TERMINATED_PODS),
    Object(&CERTIFICATES_V1_CERTIFICATE_SIGNING_REQUEST),
    Object(&CERTIFICATES_V1_CERTIFICATE_SIGNING_REQUEST_CONDITION),
    Object(&CERTIFICATES_V1_CERTIFICATE_SIGNING_REQUEST_SPEC),
    Object(&CERTIFICATES_V1_CERTIFICATE_SIGNING_REQUEST_STATUS),
    Object(&COORDINATION_V1_LEASE),
    Object(&COORDINATION_V1_LEASE_SPEC),
    Object(&CORE_V1_AWSELASTIC_BLOCK_STORE_VOLUME_SOURCE),
    Object(&CORE_V1_AFFINITY),
    Object(&CORE_V1_APP_ARMOR_PROFILE),
    Object(&CORE_V1_ATTACHED_VOLUME),
    Object(&CORE_V1_AZURE_DISK_VOLUME_SOURCE),
    Object(&CORE_V1_AZURE_FILE_PERSISTENT_VOLUME_SOURCE),
    Object(&CORE_V1_AZURE_FILE_VOLUME_SOURCE),
    Object(&CORE_V1_BINDING),
    Object(&CORE_V1_CSIPERSISTENT_VOLUME_SOURCE),
    Object(&CORE_V1_CSIVOLUME_SOURCE),
    Object(&CORE_V1_CAPABILITIES),
    Object(&CORE_V1_CEPH_FSPERSISTENT_VOLUME_SOURCE),
    Object(&CORE_V1_CEPH_FSVOLUME_SOURCE),
    Object(&CORE_V1_CINDER_PERSISTENT_VOLUME_SOURCE),
    Object(&CORE_V1_CINDER_VOLUME_SOURCE),
    Object(&CORE_V1_CLIENT_IPCONFIG),
    Object(&CORE_V1_CLUSTER_TRUST_BUNDLE_PROJECTION),
    Object(&CORE_V1_COMPONENT_CONDITION),
    Object(&CORE_V1_COMPONENT_STATUS),
    Object(&CORE_V1_CONFIG_MAP),
    Object(&CORE_V1_CONFIG_MAP_ENV_SOURCE),
    Object(&CORE_V1_CONFIG_MAP_KEY_SELECTOR),
    Object(&CORE_V1_CONFIG_MAP_NODE_CONFIG_SOURCE),
    Object(&CORE_V1_CONFIG_MAP_PROJECTION),
    Object(&CORE_V1_CONFIG_MAP_VOLUME_SOURCE),
    Object(&CORE_V1_CONTAINER),
    Object(&CORE_V1_CONTAINER_EXTENDED_RESOURCE_REQUEST),
    Object(&CORE_V1_CONTAINER_IMAGE),
    Object(&CORE_V1_CONTAINER_PORT),
    Object(&CORE_V1_CONTAINER_RESIZE_POLICY),
    Object(&CORE_V1_CONTAINER_RESTART_RULE),
    Object(&CORE_V1_CONTAINER_RESTART_RULE_ON_EXIT_CODES),
    Object(&CORE_V1_CONTAINER_STATE),
    Object(&CORE_V1_CONTAINER_STATE_RUNNING),
    Object(&CORE_V1_CONTAINER_STATE_TERMINATED),
    Object(&CORE_V1_CONTAINER_STATE_WAITING),
    Object(&CORE_V1_CONTAINER_STATUS),
    Object(&CORE_V1_CONTAINER_USER),
    Object(&CORE_V1_DAEMON_ENDPOINT),
    Object(&CORE_V1_DOWNWARD_APIPROJECTION),
    Object(&CORE_V1_DOWNWARD_APIVOLUME_FILE),
    Object(&CORE_V1_DOWNWARD_APIVOLUME_SOURCE),
    Object(&CORE_V1_EMPTY_DIR_VOLUME_SOURCE),
    Object(&CORE_V1_ENDPOINT_ADDRESS),
    Object(&CORE_V1_ENDPOINT_PORT),
    Object(&CORE_V1_ENDPOINT_SUBSET),
    Object(&CORE_V1_ENDPOINTS),
    Object(&CORE_V1_ENV_FROM_SOURCE),
    Object(&CORE_V1_ENV_VAR),
    Object(&CORE_V1_ENV_VAR_SOURCE),
    Object(&CORE_V1_EPHEMERAL_CONTAINER),
    Object(&CORE_V1_EPHEMERAL_VOLUME_SOURCE),
    Object(&CORE_V1_EVENT),
    Object(&CORE_V1_EVENT_SERIES),
    Object(&CORE_V1_EVENT_SOURCE),
    Object(&CORE_V1_EXEC_ACTION),
    Object(&CORE_V1_FCVOLUME_SOURCE),
    Object(&CORE_V1_FILE_KEY_SELECTOR),
    Object(&CORE_V1_FLEX_PERSISTENT_VOLUME_SOURCE),
    Object(&CORE_V1_FLEX_VOLUME_SOURCE),
    Object(&CORE_V1_FLOCKER_VOLUME_SOURCE),
    Object(&CORE_V1_GCEPERSISTENT_DISK_VOLUME_SOURCE),
    Object(&CORE_V1_GRPCACTION),
    Object(&CORE_V1_GIT_REPO_VOLUME_SOURCE),
    Object(&CORE_V1_GLUSTERFS_PERSISTENT_VOLUME_SOURCE),
    Object(&CORE_V1_GLUSTERFS_VOLUME_SOURCE),
    Object(&CORE_V1_HTTPGET_ACTION),
    Object(&CORE_V1_HTTPHEADER),
    Object(&CORE_V1_HOST_ALIAS),
    Object(&CORE_V1_HOST_IP),
    Object(&CORE_V1_HOST_PATH_VOLUME_SOURCE),
    Object(&CORE_V1_ISCSIPERSISTENT_VOLUME_SOURCE),
    Object(&CORE_V1_ISCSIVOLUME_SOURCE),
    Object(&CORE_V1_IMAGE_VOLUME_SOURCE),
    Object(&CORE_V1_IMAGE_VOLUME_STATUS),
    Object(&CORE_V1_KEY_TO_PATH),
    Object(&CORE_V1_LIFECYCLE),
    Object(&CORE_V1_LIFECYCLE_HANDLER),
    Object(&CORE_V1_LIMIT_RANGE),
    Object(&CORE_V1_LIMIT_RANGE_ITEM),
    Object(&CORE_V1_LIMIT_RANGE_SPEC),
    Object(&CORE_V1_LINUX_CONTAINER_USER),
    Object(&CORE_V1_LOAD_BALANCER_INGRESS),
    Object(&CORE_V1_LOAD_BALANCER_STATUS),
    Object(&CORE_V1_LOCAL_OBJECT_REFERENCE),
    Object(&CORE_V1_LOCAL_VOLUME_SOURCE),
    Object(&CORE_V1_MODIFY_VOLUME_STATUS),
    Object(&CORE_V1_NFSVOLUME_SOURCE),
    Object(&CORE_V1_NAMESPACE),
    Object(&CORE_V1_NAMESPACE_CONDITION),
    Object(&CORE_V1_NAMESPACE_SPEC),
    Object(&CORE_V1_NAMESPACE_STATUS),
    Object(&CORE_V1_NODE),
    Object(&CORE_V1_NODE_ADDRESS),
    Object(&CORE_V1_NODE_AFFINITY),
    Object(&CORE_V1_NODE_ALLOCATABLE_RESOURCE_CLAIM_STATUS),
    Object(&CORE_V1_NODE_CONDITION),
    Object(&CORE_V1_NODE_CONFIG_SOURCE),
    Object(&CORE_V1_NODE_CONFIG_STATUS),
    Object(&CORE_V1_NODE_DAEMON_ENDPOINTS),
    Object(&CORE_V1_NODE_FEATURES),
    Object(&CORE_V1_NODE_RUNTIME_HANDLER),
    Object(&CORE_V1_NODE_RUNTIME_HANDLER_FEATURES),
    Object(&CORE_V1_NODE_SELECTOR),
    Object(&CORE_V1_NODE_SELECTOR_REQUIREMENT),
    Object(&CORE_V1_NODE_SELECTOR_TERM),
    Object(&CORE_V1_NODE_SPEC),
    Object(&CORE_V1_NODE_STATUS),
    Object(&CORE_V1_NODE_SWAP_STATUS),
    Object(&CORE_V1_NODE_SYSTEM_INFO),
    Object(&CORE_V1_OBJECT_FIELD_SELECTOR),
    Object(&CORE_V1_OBJECT_REFERENCE),
    Object(&CORE_V1_PERSISTENT_VOLUME),
    Object(&CORE_V1_PERSISTENT_VOLUME_CLAIM),
    Object(&CORE_V1_PERSISTENT_VOLUME_CLAIM_CONDITION),
    Object(&CORE_V1_PERSISTENT_VOLUME_CLAIM_SPEC),
    Object(&CORE_V1_PERSISTENT_VOLUME_CLAIM_STATUS),
    Object(&CORE_V1_PERSISTENT_VOLUME_CLAIM_TEMPLATE),
    Object(&CORE_V1_PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE),
    Object(&CORE_V1_PERSISTENT_VOLUME_SPEC),
    Object(&CORE_V1_PERSISTENT_VOLUME_STATUS),
    Object(&CORE_V1_PHOTON_PERSISTENT_DISK_VOLUME_SOURCE),
    Object(&CORE_V1_POD),
    Object(&CORE_V1_POD_AFFINITY),
    Object(&CORE_V1_POD_AFFINITY_TERM),
    Object(&CORE_V1_POD_ANTI_AFFINITY),
    Object(&CORE_V1_POD_CERTIFICATE_PROJECTION),
    Object(&CORE_V1_POD_CONDITION),
    Object(&CORE_V1_POD_DNSCONFIG),
    Object(&CORE_V1_POD_DNSCONFIG_OPTION),
    Object(&CORE_V1_POD_EXTENDED_RESOURCE_CLAIM_STATUS),
    Object(&CORE_V1_POD_IP),
    Object(&CORE_V1_POD_OS),
    Object(&CORE_V1_POD_READINESS_GATE),
    Object(&CORE_V1_POD_RESOURCE_CLAIM),
    Object(&CORE_V1_POD_RESOURCE_CLAIM_STATUS),
    Object(&CORE_V1_POD_SCHEDULING_GATE),
    Object(&CORE_V1_POD_SCHEDULING_GROUP),
    Object(&CORE_V1_POD_SECURITY_CONTEXT),
    Object(&CORE_V1_POD_SPEC),
    Object(&CORE_V1_POD_STATUS),
    Object(&CORE_V1_POD_TEMPLATE),
    Object(&CORE_V1_POD_TEMPLATE_SPEC),
    Object(&CORE_V1_PORT_STATUS),
    Object(&CORE_V1_PORTWORX_VOLUME_SOURCE),
    Object(&CORE_V1_PREFERRED_SCHEDULING_TERM),
    Object(&CORE_V1_PROBE),
    Object(&CORE_V1_PROJECTED_VOLUME_SOURCE),
    Object(&CORE_V1_QUOBYTE_VOLUME_SOURCE),
    Object(&CORE_V1_RBDPERSISTENT_VOLUME_SOURCE),
    Object(&CORE_V1_RBDVOLUME_SOURCE),
    Object(&CORE_V1_REPLICATION_CONTROLLER),
    Object(&CORE_V1_REPLICATION_CONTROLLER_CONDITION),
    Object(&CORE_V1_REPLICATION_CONTROLLER_SPEC),
    Object(&CORE_V1_REPLICATION_CONTROLLER_STATUS),
    Object(&CORE_V1_RESOURCE_CLAIM),
    Object(&CORE_V1_RESOURCE_FIELD_SELECTOR),
    Object(&CORE_V1_RESOURCE_HEALTH),
    Object(&CORE_V1_RESOURCE_QUOTA),
    Object(&CORE_V1_RESOURCE_QUOTA_SPEC),
    Object(&CORE_V1_RESOURCE_QUOTA_STATUS),
    Object(&CORE_V1_RESOURCE_REQUIREMENTS),
    Object(&CORE_V1_RESOURCE_STATUS),
    Object(&CORE_V1_SELINUX_OPTIONS),
    Object(&CORE_V1_SCALE_IOPERSISTENT_VOLUME_SOURCE),
    Object(&CORE_V1_SCALE_IOVOLUME_SOURCE),
    Object(&CORE_V1_SCOPE_SELECTOR),
    Object(&CORE_V1_SCOPED_RESOURCE_SELECTOR_REQUIREMENT),
    Object(&CORE_V1_SECCOMP_PROFILE),
    Object(&CORE_V1_SECRET),
    Object(&CORE_V1_SECRET_ENV_SOURCE),
    Object(&CORE_V1_SECRET_KEY_SELECTOR),
    Object(&CORE_V1_SECRET_PROJECTION),
    Object(&CORE_V1_SECRET_REFERENCE),
    Object(&CORE_V1_SECRET_VOLUME_SOURCE),
    Object(&CORE_V1_SECURITY_CONTEXT),
    Object(&CORE_V1_SERVICE),
    Object(&CORE_V1_SERVICE_ACCOUNT),
    Object(&CORE_V1_SERVICE_ACCOUNT_TOKEN_PROJECTION),
    Object(&CORE_V1_SERVICE_PORT),
    Object(&CORE_V1_SERVICE_SPEC),
    Object(&CORE_V1_SERVICE_STATUS),
    Object(&CORE_V1_SESSION_AFFINITY_CONFIG),
    Object(&CORE_V1_SLEEP_ACTION),
    Object(&CORE_V1_STORAGE_OSPERSISTENT_VOLUME_SOURCE),
    Object(&CORE_V1_STORAGE_OSVOLUME_SOURCE),
    Object(&CORE_V1_SYSCTL),
    Object(&CORE_V1_TCPSOCKET_ACTION),
    Object(&CORE_V1_TAINT),
    Object(&CORE_V1_TOLERATION),
    Object(&CORE_V1_TOPOLOGY_SPREAD_CONSTRAINT),
    Object(&CORE_V1_TYPED_LOCAL_OBJECT_REFERENCE),
    Object(&CORE_V1_TYPED_OBJECT_REFERENCE),
    Object(&CORE_V1_VOLUME),
    Object(&CORE_V1_VOLUME_DEVICE),
    Object(&CORE_V1_VOLUME_MOUNT),
    Object(&CORE_V1_VOLUME_MOUNT_STATUS),
    Object(&CORE_V1_VOLUME_NODE_AFFINITY),
    Object(&CORE_V1_VOLUME_PROJECTION),
    Object(&CORE_V1_VOLUME_RESOURCE_REQUIREMENTS),
    Object(&CORE_V1_VOLUME_STATUS),
    Object(&CORE_V1_VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE),
    Object(&CORE_V1_WEIGHTED_POD_AFFINITY_TERM),
    Object(&CORE_V1_WINDOWS_SECURITY_CONTEXT_OPTIONS),
    Object(&DISCOVERY_V1_ENDPOINT),
    Object(&DISCOVERY_V1_ENDPOINT_CONDITIONS),
    Object(&DISCOVERY_V1_ENDPOINT_HINTS),
    Object(&DISCOVERY_V1_ENDPOINT_PORT),
    Object(&DISCOVERY_V1_ENDPOINT_SLICE),
    Object(&DISCOVERY_V1_FOR_NODE),
    Object(&DISCOVERY_V1_FOR_ZONE),
    Object(&EVENKEEL_V1ALPHA1_ADDRESS_POOL),
    Object(&EVENKEEL_V1ALPHA1_ADDRESS_POOL_SPEC),
    Object(&EVENKEEL_V1ALPHA1_ADDRESS_POOL_STATUS),
    Object(&EVENKEEL_V1ALPHA1_CAUSE),
    Object(&EVENKEEL_V1ALPHA1_CHANGES),
    Object(&EVENKEEL_V1ALPHA1_DRIFT),
    Object(&EVENKEEL_V1ALPHA1_DRIFT_ORIGIN),
    Object(&EVENKEEL_V1ALPHA1_DRIFT_SPEC),
    Object(&EVENKEEL_V1ALPHA1_DRIFT_STATUS),
    Object(&EVENKEEL_V1ALPHA1_GIT_SPEC),
    Object(&EVENKEEL_V1ALPHA1_GOOD_REVISION),
    Object(&EVENKEEL_V1ALPHA1_IGNORE_DIFFERENCE),
    Object(&EVENKEEL_V1ALPHA1_MASS_DELETE),
    Object(&EVENKEEL_V1ALPHA1_MAX_UNSETTLED),
    Object(&EVENKEEL_V1ALPHA1_OBJECT_REF),
    Object(&EVENKEEL_V1ALPHA1_PHASE_AT),
    Object(&EVENKEEL_V1ALPHA1_PIN),
    Object(&EVENKEEL_V1ALPHA1_QUARANTINED),
    Object(&EVENKEEL_V1ALPHA1_RELEASE),
    Object(&EVENKEEL_V1ALPHA1_RELEASE_SPEC),
    Object(&EVENKEEL_V1ALPHA1_RELEASE_STATUS),
    Object(&EVENKEEL_V1ALPHA1_SOURCE),
    Object(&EVENKEEL_V1ALPHA1_SOURCE_SPEC),
    Object(&EVENKEEL_V1ALPHA1_SOURCE_STATUS),
    Object(&EVENTS_V1_EVENT),
    Object(&EVENTS_V1_EVENT_SERIES),
    Object(&META_V1_CONDITION),
    Object(&META_V1_DELETE_OPTIONS),
    Object(&META_V1_FIELD_SELECTOR_REQUIREMENT),
    Object(&META_V1_LABEL_SELECTOR),
    Object(&META_V1_LABEL_SELECTOR_REQUIREMENT),
    Object(&META_V1_MANAGED_FIELDS_ENTRY),
    Object(&META_V1_OBJECT_META),
    Object(&META_V1_OWNER_REFERENCE),
    Object(&META_V1_PRECONDITIONS),
    Object(&NETWORKING_V1_HTTPINGRESS_PATH),
    Object(&NETWORKING_V1_HTTPINGRESS_RULE_VALUE),
    Object(&NETWORKING_V1_IPADDRESS),
    Object(&NETWORKING_V1_IPADDRESS_SPEC),
    Object(&NETWORKING_V1_IPBLOCK),
    Object(&NETWORKING_V1_INGRESS),
    Object(&NETWORKING_V1_INGRESS_BACKEND),
    Object(&NETWORKING_V1_INGRESS_CLASS),
    Object(&NETWORKING_V1_INGRESS_CLASS_PARAMETERS_REFERENCE),
    Object(&NETWORKING_V1_INGRESS_CLASS_SPEC),
    Object(&NETWORKING_V1_INGRESS_LOAD_BALANCER_INGRESS),
    Object(&NETWORKING_V1_INGRESS_LOAD_BALANCER_STATUS),
    Object(&NETWORKING_V1_INGRESS_PORT_STATUS),
    Object(&NETWORKING_V1_INGRESS_RULE),
    Object(&NETWORKING_V1_INGRESS_SERVICE_BACKEND),
    Object(&NETWORKING_V1_INGRESS_SPEC),
    Object(&NETWORKING_V1_INGRESS_STATUS),
    Object(&NETWORKING_V1_INGRESS_TLS),
    Object(&NETWORKING_V1_NETWORK_POLICY),
    Object(&NETWORKING_V1_NETWORK_POLICY_EGRESS_RULE),
    Object(&NETWORKING_V1_NETWORK_POLICY_INGRESS_RULE),
    Object(&NETWORKING_V1_NETWORK_POLICY_PEER),
    Object(&NETWORKING_V1_NETWORK_POLICY_PORT),
    Object(&NETWORKING_V1_NETWORK_POLICY_SPEC),
    Object(&NETWORKING_V1_PARENT_REFERENCE),
    Object(&NETWORKING_V1_SERVICE_BACKEND_PORT),
    Object(&NETWORKING_V1_SERVICE_CIDR),
    Object(&NETWORKING_V1_SERVICE_CIDRSPEC),
    Object(&NETWORKING_V1_SERVICE_CIDRSTATUS),
    Object(&POLICY_V1_EVICTION),
    Object(&POLICY_V1_POD_DISRUPTION_BUDGET),
    Object(&POLICY_V1_POD_DISRUPTION_BUDGET_SPEC),
    Object(&POLICY_V1_POD_DISRUPTION_BUDGET_STATUS),
    Object(&RBAC_V1_AGGREGATION_RULE),
    Object(&RBAC_V1_CLUSTER_ROLE),
    Object(&RBAC_V1_CLUSTER_ROLE_BINDING),
    Object(&RBAC_V1_POLICY_RULE),
    Object(&RBAC_V1_ROLE),
    Object(&RBAC_V1_ROLE_BINDING),
    Object(&RBAC_V1_ROLE_REF),
    Object(&RBAC_V1_SUBJECT),
];
