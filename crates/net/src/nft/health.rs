//! Says to balancers outside whether this node has somebody for a Service
//! (`externalTrafficPolicy: Local` with `healthCheckNodePort`): 200 with at least one, else 503.

use std::{collections::BTreeMap, sync::Arc};

use evenkeel_model::net::{ServiceId, ServiceNet};

/// What is said at one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPort {
    /// The Service.
    pub service: ServiceId,
    /// How many answer for it on this node.
    pub local: usize,
}

/// All of a node.
pub(super) fn ports<'a>(services: impl Iterator<Item = &'a Arc<ServiceNet>>, node: &str) -> BTreeMap<u16, HealthPort> {
    services
        .filter(|s| s.external_local)
        .filter_map(|s| {
            let local = s.endpoints.iter().filter(|e| e.ready && e.node.as_deref() == Some(node)).count();
            Some((s.health_check_port?, HealthPort { service: s.id.clone(), local }))
        })
        .collect()
}
