//! PodDisruptionBudgets.

use serde_json::{Value, json};

use super::{complaints::Complaints, meta, workload::amount};
use crate::path::Trail;

/// `spec`. Kubernetes also takes one that sets neither number; it never allows a disruption, which
/// nobody means, so here it is an error.
pub(super) fn spec(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if !value.is_object() {
        return;
    }
    let numbers = ["minAvailable", "maxUnavailable"];
    let set = numbers.into_iter().filter(|f| value.get(f).is_some_and(|v| !v.is_null())).count();
    match set {
        0 => out.required(at, "one of minAvailable and maxUnavailable must be set"),
        1 => {}
        _ => {
            let both = json!({"minAvailable": value["minAvailable"], "maxUnavailable": value["maxUnavailable"]});
            out.invalid(at, &both, "minAvailable and maxUnavailable cannot be both set");
        }
    }
    for field in numbers {
        let (number, at) = (&value[field], at.field(field));
        if amount(number, &at, out).is_some_and(|n| number.is_string() && n > 100) {
            out.invalid(&at, number, "must not be greater than 100%");
        }
    }
    meta::selector(&value["selector"], &at.field("selector"), out);
}
