//! Commits of the simulated repository: manifests as text, read by the real parser, and the images
//! that they name.

use std::{sync::Arc, time::Duration};

use evenkeel_agent::sim::{Program, SimRegistry};
use evenkeel_manifest::{Options, assemble, parse_file};
use evenkeel_model::{Diagnostic, Digest, Key, Revision, Rng, Snapshot};

/// What is wrong with a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// An image that no registry has.
    NoImage,
    /// A program that ends at once, again and again.
    Crashes,
    /// A program that is never ready.
    NeverReady,
    /// A command that does not exist.
    CannotStart,
    /// A configuration that the engine refuses.
    CannotCreate,
    /// YAML that does not pass the checks.
    Broken,
}

const FLAWS: [Flaw; 6] =
    [Flaw::NoImage, Flaw::Crashes, Flaw::NeverReady, Flaw::CannotStart, Flaw::CannotCreate, Flaw::Broken];

/// A commit.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) revision: Revision,
    pub(crate) flaw: Option<Flaw>,
    pub(crate) outcome: Result<Arc<Snapshot>, Vec<Diagnostic>>,
}

impl Commit {
    /// The objects that it names.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.outcome.iter().flat_map(|s| s.docs.iter().map(|d| d.key.clone())).collect()
    }

    /// Digest of its documents.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.outcome.as_ref().ok().map(|s| s.digest())
    }
}

/// One Deployment of the application.
#[derive(Debug, Clone)]
struct App {
    name: &'static str,
    image: String,
    replicas: u64,
    surge: &'static str,
    unavailable: &'static str,
    /// What of a pod decides on its node.
    place: &'static str,
    /// The type of its Service; none where it is empty.
    service: &'static str,
}

/// Types of Services that one can turn into.
const SERVICES: [&str; 5] = ["ClusterIP", "ClusterIP", "NodePort", "LoadBalancer", ""];

/// Hosts of Ingresses; those with TLS have a certificate.
const HOSTS: [&str; 3] = ["", "shop.example", "tls.example"];

/// What isolates pods of a repository's namespace, each by itself; any of them may be there.
const POLICIES: [&str; 5] = [
    "{podSelector: {}, policyTypes: [Ingress]}",
    "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress], \
     ingress: [{from: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: http}]}]}",
    "{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], \
     egress: [{to: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 8080}]}]}",
    "{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}]}]}",
    "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{ports: [{port: 9090}], \
     from: [{podSelector: {}}]}], egress: [{to: [{namespaceSelector: {matchLabels: {team: a}}, \
     podSelector: {matchLabels: {app: web}}}]}]}",
];

/// Where pods may go: anywhere, to nodes with a label, also to those set apart.
const PLACES: [&str; 4] = [
    "",
    "nodeSelector: {kubernetes.io/arch: amd64}",
    "tolerations: [{key: dedicated, operator: Exists}]",
    "tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 10}]",
];

/// The repository.
#[derive(Debug)]
pub(crate) struct Repository {
    /// Name of the source, and of its namespace.
    pub(crate) name: String,
    rng: Rng,
    number: u64,
    /// Most replicas of one Deployment.
    most: u64,
    apps: Vec<App>,
    setting: u64,
    /// Whether there are policies and Ingresses, too: in a large world they would be most of its cost.
    rich: bool,
    /// Those that there are, a bit for each of [`POLICIES`].
    policies: u64,
    /// The namespace's label.
    team: &'static str,
    /// The host of an Ingress, which may have a certificate; none where it is empty.
    host: &'static str,
}

impl Repository {
    /// An empty one.
    pub(crate) fn new(name: &str, most: u64, rich: bool, rng: Rng) -> Self {
        let (name, apps) = (name.into(), Vec::new());
        Self { name, rng, number: 0, most, apps, setting: 0, rich, policies: 0, team: "a", host: "" }
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let at = usize::try_from(self.rng.below(of.len() as u64)).unwrap();
        of[at]
    }

    /// The next commit; its images are pushed. The first is always good.
    pub(crate) fn commit(&mut self, registry: &mut SimRegistry) -> Commit {
        self.number += 1;
        if self.apps.is_empty() {
            self.first(registry);
            return self.make(None);
        }
        let bad = self.rng.below(100) < 35;
        if bad {
            let flaw = self.pick(&FLAWS);
            let kept = self.apps.clone();
            self.spoil(flaw, registry);
            let commit = self.make(Some(flaw));
            // The next commit repairs it, as people do.
            self.apps = kept;
            return commit;
        }
        self.change(registry);
        self.make(None)
    }

    /// A commit without a flaw.
    pub(crate) fn good(&mut self, registry: &mut SimRegistry) -> Commit {
        self.number += 1;
        self.change(registry);
        self.make(None)
    }

    fn change(&mut self, registry: &mut SimRegistry) {
        let at = usize::try_from(self.rng.below(self.apps.len() as u64)).unwrap();
        match self.rng.below(if self.rich { 11 } else { 7 }) {
            0 => self.apps[at].replicas = 1 + self.rng.below(self.most),
            1 => self.setting += 1,
            2 => {
                self.apps[at].surge = self.pick(&["1", "50%", "0"]);
                self.apps[at].unavailable =
                    if self.apps[at].surge == "0" { "1" } else { self.pick(&["0", "1", "25%"]) };
                self.apps[at].image = self.push_good(registry);
            }
            3 if self.apps.len() > 1 => {
                self.apps.truncate(1);
            }
            3 => {
                let image = self.push_good(registry);
                let (place, service) = (self.pick(&PLACES), self.pick(&SERVICES));
                self.apps.push(App { name: "api", image, replicas: 2, surge: "1", unavailable: "0", place, service });
            }
            4 => self.apps[at].service = self.pick(&SERVICES),
            7 | 8 => self.policies ^= 1 << self.rng.below(POLICIES.len() as u64),
            9 => self.team = self.pick(&["a", "b"]),
            10 => self.host = self.pick(&HOSTS),
            _ => self.apps[at].image = self.push_good(registry),
        }
    }

    fn first(&mut self, registry: &mut SimRegistry) {
        let image = self.push_good(registry);
        let replicas = 1 + self.rng.below(self.most);
        let surge = if self.most > 4 { "25%" } else { "1" };
        let place = self.pick(&["", "", PLACES[2], PLACES[3]]);
        let service = self.pick(&["ClusterIP", "NodePort", "LoadBalancer"]);
        self.apps.push(App { name: "web", image, replicas, surge, unavailable: "0", place, service });
        if self.rich {
            self.host = self.pick(&HOSTS);
            self.policies = self.rng.below(1 << POLICIES.len()) & self.rng.below(1 << POLICIES.len());
        }
    }

    fn push_good(&mut self, registry: &mut SimRegistry) -> String {
        let image = format!("{}/good:{}", self.name, self.number);
        let ready = Duration::from_millis(self.rng.below(3000));
        let stops = Duration::from_millis(10 + self.rng.below(2000));
        registry.push(&image, Program { stops_after: Some(stops), ..Program::slow(ready) });
        image
    }

    fn spoil(&mut self, flaw: Flaw, registry: &mut SimRegistry) {
        let image = format!("{}/bad:{}", self.name, self.number);
        let program = match flaw {
            Flaw::NoImage | Flaw::Broken => None,
            Flaw::Crashes => Some(Program::ends(Duration::from_millis(200 + self.rng.below(3000)), 1)),
            Flaw::NeverReady => Some(Program::never_ready()),
            Flaw::CannotStart => Some(Program::cannot_start()),
            Flaw::CannotCreate => Some(Program::cannot_create()),
        };
        if let Some(program) = program {
            registry.push(&image, program);
        }
        let at = usize::try_from(self.rng.below(self.apps.len() as u64)).unwrap();
        self.apps[at].image = image;
    }

    /// An Ingress that leads to the first application; a certificate is renewed with each setting.
    fn ingress(&self) -> String {
        let (space, host, number) = (&self.name, self.host, self.setting);
        let tls = if host.starts_with("tls") {
            format!("tls: [{{hosts: [{host}], secretName: cert}}], ")
        } else {
            String::new()
        };
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: cert, namespace: {space}}}\n\
             stringData: {{tls.crt: chain {number}, tls.key: key}}\n---\napiVersion: networking.k8s.io/v1\nkind: Ingress\n\
             metadata: {{name: front, namespace: {space}}}\nspec: {{{tls}rules: [{{host: {host}, http: {{paths: [{{path: /, \
             pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}]}}}}]}}\n"
        )
    }

    fn make(&mut self, flaw: Option<Flaw>) -> Commit {
        let mut text = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {space}, labels: {{team: {team}}}}}\n---\napiVersion: v1\nkind: ConfigMap\n\
             metadata: {{name: conf, namespace: {space}}}\ndata: {{SETTING: \"{}\"}}\n",
            self.setting,
            space = self.name,
            team = self.team,
        );
        // A pool is the cluster's: one repository has it.
        if self.name.ends_with('0') {
            text.push_str(
                "---\napiVersion: evenkeel.dev/v1alpha1\nkind: AddressPool\nmetadata: {name: lan}\n\
                 spec: {addresses: [192.0.2.0/29]}\n",
            );
        }
        for (n, spec) in POLICIES.iter().enumerate().filter(|(n, _)| self.policies & (1 << n) != 0) {
            let document = format!(
                "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p{n}, namespace: {space}}}\n\
                 spec: {spec}\n",
                space = self.name,
            );
            text.push_str(&document);
        }
        if !self.host.is_empty() {
            text.push_str(&self.ingress());
        }
        for app in &self.apps {
            let document = format!(
                "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {space}}}\nspec:\n  \
                 replicas: {replicas}\n  progressDeadlineSeconds: 60\n  selector: {{matchLabels: {{app: {name}}}}}\n  \
                 strategy: {{rollingUpdate: {{maxSurge: {surge}, maxUnavailable: {unavailable}}}}}\n  template:\n    \
                 metadata: {{labels: {{app: {name}}}}}\n    spec:\n      terminationGracePeriodSeconds: 5\n      {place}\n      \
                 containers:\n      - name: main\n        image: {image}\n        imagePullPolicy: IfNotPresent\n        \
                 envFrom: [{{configMapRef: {{name: conf}}}}]\n        ports: [{{name: http, containerPort: 8080}}]\n        resources: {{requests: {{cpu: 250m, memory: 64Mi}}}}\n        \
                 readinessProbe: {{exec: {{command: [ready]}}, periodSeconds: 3}}\n",
                name = app.name,
                space = self.name,
                place = app.place,
                replicas = app.replicas,
                surge = app.surge,
                unavailable = app.unavailable,
                image = app.image,
            );
            text.push_str(&document);
            if !app.service.is_empty() {
                let (name, kind, space) = (app.name, app.service, &self.name);
                let service = format!(
                    "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {space}}}\nspec: {{type: {kind}, \
                     selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 8080}}]}}\n"
                );
                text.push_str(&service);
            }
        }
        if flaw == Some(Flaw::Broken) {
            text.push_str("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndatta: {}\n");
        }
        let file = Arc::new(parse_file("all.yaml", text.as_bytes(), &Options::default()));
        let outcome = assemble(&[file], &evenkeel_manifest::Customs::default()).map(Arc::new);
        assert_eq!(outcome.is_err(), flaw == Some(Flaw::Broken), "{outcome:?}");
        let id = Digest::of_parts([self.name.as_bytes(), text.as_bytes(), &self.number.to_be_bytes()]).short(40);
        Commit { revision: Revision::git(Some("main"), &id), flaw, outcome }
    }
}
