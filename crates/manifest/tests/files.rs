//! Whole files, as sources give them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{fmt::Write as _, sync::Arc};

use evenkeel_manifest::{Customs, FileParse, Options, UnsupportedMode, assemble, limits, parse_file};
use evenkeel_model::{Key, Kind};
use serde_json::json;

fn parse(text: &str) -> FileParse {
    parse_file("a.yaml", text.as_bytes(), &Options::default())
}

fn complaints(text: &str) -> String {
    parse(text).diagnostics.iter().fold(String::new(), |mut out, d| {
        let _ = writeln!(out, "{:?} {d}", d.severity);
        out
    })
}

const WEB: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: web:1
";

#[test]
fn a_deployment_becomes_what_it_sets_and_nothing_else() {
    let file = parse(WEB);
    assert_eq!(complaints(WEB), "");
    let doc = &file.docs[0];
    assert_eq!(doc.key, Key::new(Kind::Deployment, "default", "web"));
    assert_eq!(
        doc.value,
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}})
    );
}

#[test]
fn every_mistake_of_a_file_is_told_with_its_line() {
    insta::assert_snapshot!(complaints(
        "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replica: 3
  paused: perhaps
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      hostNetwork: true
      serviceAccountName: robot
      containers:
      - name: web
        image: web:1
        imagePullPolice: Always
        ports:
        - containerPort: http
        - containerPort: 70000
        env:
        - name: PORT
          value: 8080
        - name: PORT2
          value: '8080'
          value: again
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  debug: on
  verbose: true
  mode: 0644
---
apiVersion: v1
kind: Secret
metadata: {name: password}
data:
  password: hunter2hunter2!
stringData:
  pin: 1234
"
    ));
}

fn one_doc(text: &str) -> Arc<evenkeel_model::Doc> {
    assert_eq!(complaints(text), "");
    let file = parse(text);
    assert_eq!(file.docs.len(), 1);
    file.docs[0].clone()
}

fn first_complaint(text: &str) -> String {
    complaints(text).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn texts_that_are_read_all_the_same() {
    let plain = one_doc(WEB);
    for text in [
        format!("\u{feff}{WEB}"),
        WEB.replace('\n', "\r\n"),
        format!("---\n{WEB}---\n# nothing\n---\nnull\n...\n"),
        format!("# comment\n\n{WEB}"),
        format!("{WEB}status: {{replicas: 3}}\n"),
        WEB.replace("{name: web}", "{name: web, uid: u, resourceVersion: '7', generation: 3, creationTimestamp: null, managedFields: [], selfLink: /x}"),
        WEB.replace("{name: web}", "{name: web, labels: null, namespace: default}"),
        WEB.replace("{app: web}", "{\napp: web\n}"),
        WEB.replace("{app: web}", "{ app:\n\"web\",\n# why\n}\n"),
        WEB.replace("kind: ", "kind:\t").replace("image: ", "image:\t\t"),
        WEB.replace("image: web:1", "image: \"web\\\n:1\""),
        format!("---\n---\n# {{\n{}", WEB.replace("{app: web}", "{\napp: web\n}")),
        serde_json::to_string_pretty(&plain.value).unwrap(),
        serde_json::to_string_pretty(&plain.value).unwrap().replace("  ", "\t"),
        serde_json::to_string(&json!({"apiVersion": "v1", "kind": "List", "items": [plain.value]})).unwrap(),
        serde_json::to_string(&json!({"apiVersion": "apps/v1", "kind": "DeploymentList", "metadata": {}, "items": [
            {"metadata": plain.value["metadata"], "spec": plain.value["spec"]}]})).unwrap(),
    ] {
        let doc = one_doc(&text);
        assert_eq!(doc.value, plain.value, "{text}");
        assert_eq!(doc.digest, plain.digest);
    }
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn texts_that_are_refused() {
    for (text, expected) in [
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n\"\\e[31m\": x\n",
            "Error a.yaml:4:1: \u{fffd}[31m: unknown field `\u{fffd}[31m` in Namespace",
        ),
        ("a: b", "Error a.yaml:1:1: apiVersion: `apiVersion` is missing"),
        ("- a", "Error a.yaml:1:1: a document must be a mapping"),
        ("kind: [", "Error a.yaml:2:1: not valid YAML"),
        ("apiVersion: v1\nkind:\n\tx: 1\n", "Error a.yaml:3:2: a tab stands where YAML wants blanks"),
        ("apiVersion: 1\nkind: Pod", "Error a.yaml:1:1: apiVersion: `apiVersion` must be text"),
        (
            "apiVersion: apps/v1\nkind: Deploymnet\n",
            "Error a.yaml:2:7: kind: unknown kind `Deploymnet` in `apps/v1`, did you mean `Deployment`?",
        ),
        (
            "apiVersion: extensions/v1beta1\nkind: Deployment\n",
            "Error a.yaml:1:13: apiVersion: there is no Deployment in `extensions/v1beta1`, it is in `apps/v1`",
        ),
        (
            "apiVersion: policy/v1beta1\nkind: PodSecurityPolicy\nmetadata: {name: a}\n",
            "Error a.yaml:2:7: kind: PodSecurityPolicy (policy/v1beta1) is in Kubernetes no longer",
        ),
        (
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: []\n",
            "Error a.yaml:2:7: kind: kustomizations are not supported yet",
        ),
        ("&a null\n---\nc: *a\n", "Error a.yaml:3:4: the alias names something in another document"),
        (
            "{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"a\"}}\n{}\n",
            "Error a.yaml:2:1: not valid YAML: a further document begins with a line `---`",
        ),
        (
            "apiVersion: apps/v1\nkind: StatefulSet\n",
            "Error a.yaml:2:7: kind: StatefulSet (apps/v1) is not supported yet",
        ),
        ("apiVersion: v1\nkind: Node\n", "Error a.yaml:2:7: kind: Node objects are made by Evenkeel alone"),
        (
            "apiVersion: evenkeel.dev/v1alpha1\nkind: Release\n",
            "Error a.yaml:2:7: kind: Release objects are made by Evenkeel alone",
        ),
        (
            "apiVersion: v1\nkind: Namespace\n",
            "Error a.yaml:1:1: metadata.name: Required value: name or generateName is required",
        ),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: A}",
            "Error a.yaml:3:18: metadata.name: Invalid value: \"A\"",
        ),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {generateName: a-}",
            "Error a.yaml:3:12: metadata.generateName: `generateName` is not supported yet",
        ),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: x",
            "Error a.yaml:3:11: metadata: expected a mapping, found the string \"x\"",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: &d a}\ndata: {a: b, <<: *d}",
            "Error a.yaml:3:18: `<<` takes a mapping, or a list of mappings",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  annotations: {\n    a: 'b\nc',\n  d: 5\n}\n",
            "Error a.yaml:8:6: metadata.annotations[d]: expected a string, found the number 5; quote it: \"5\"",
        ),
        (
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a, namespace: b}\nrules: []\n",
            "Warning a.yaml:3:32: metadata.namespace: `namespace` has no effect: a ClusterRole is of the whole cluster",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: !vault b}",
            "Error a.yaml:4:11: the tag `!vault` is not supported",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {? [a]: b}",
            "Error a.yaml:4:10: a key must be text",
        ),
        ("apiVersion: v1\nkind: List\nitem: []\n", "Error a.yaml:3:1: item: unknown field `item` in List"),
        (
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: p}\n",
            "Error a.yaml:4:3: spec: Required value",
        ),
        (
            "{\"apiVersion\": \"v1\", \"kind\": \"Pot\"}",
            "Error a.yaml:1:30: kind: unknown kind `Pot` in `v1`, did you mean `Pod`?",
        ),
    ] {
        let found = first_complaint(text);
        assert!(found.starts_with(expected), "{text}\nexpected {expected}\nfound    {found}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_at_their_place() {
    for (bytes, expected) in [
        (&b"a: b\n\xff"[..], "a.yaml:2:1: byte 0xff is not UTF-8: save the file as UTF-8"),
        (b"a: \0", "a.yaml:1:4: the file holds a NUL byte"),
    ] {
        let file = parse_file("a.yaml", bytes, &Options::default());
        assert_eq!(file.diagnostics[0].to_string(), expected);
    }
    let big = vec![b'#'; 50 << 20];
    let file = parse_file("a.yaml", &big, &Options::default());
    assert_eq!(file.diagnostics[0].to_string(), "a.yaml: the file has 50 MiB; a manifest may have 32 MiB: split it");
}

#[test]
fn bombs_are_defused() {
    let mut bomb = String::from(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n",
    );
    for i in 1..12 {
        let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
        let _ = writeln!(bomb, "  a{i}: &a{i} [{aliases}]");
    }
    assert!(first_complaint(&bomb).contains("an alias bomb is not read"), "{}", first_complaint(&bomb));
    let big = "x".repeat(1 << 20);
    let aliases = vec!["*a"; 100].join(", ");
    let bytes = format!("a: &a {big}\nb: [{aliases}]");
    assert!(first_complaint(&bytes).contains("an alias bomb"), "{}", first_complaint(&bytes));
    let deep = "[".repeat(100_000);
    assert!(first_complaint(&deep).contains("nesting deeper than 100 levels"), "{}", first_complaint(&deep));
    let nested = format!("{}x", "- ".repeat(10_000));
    assert!(first_complaint(&nested).contains("nesting deeper than 100 levels"), "{}", first_complaint(&nested));
    // Aliases of aliases: each level is flat as it is written.
    let mut deep = String::from("a0: &a0 [x]\n");
    for i in 1..200 {
        let _ = writeln!(deep, "a{i}: &a{i} [*a{}]", i - 1);
    }
    assert!(first_complaint(&deep).contains("nesting deeper"), "{}", first_complaint(&deep));
    assert!(first_complaint("a: &a [*a]").contains("inside the block that it names"));
}

#[test]
fn aliases_are_expanded() {
    let doc = one_doc(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: &l {app: x}, annotations: *l}\ndata: {a: &v one, b: *v}\n",
    );
    assert_eq!(doc.value["metadata"]["annotations"], json!({"app": "x"}));
    assert_eq!(doc.value["data"], json!({"a": "one", "b": "one"}));
}

#[test]
fn merge_keys_are_put_together() {
    let data = |text: &str| {
        one_doc(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, annotations: &a {{x: a, y: a}}, labels: &b {{<<: *a, y: b, z: b}}}}\ndata: {text}\n"))
            .value["data"]
            .clone()
    };
    assert_eq!(data("{<<: *a}"), json!({"x": "a", "y": "a"}));
    assert_eq!(data("{y: own, <<: *a}"), json!({"x": "a", "y": "own"}), "what is written there wins");
    assert_eq!(data("{<<: [*b, *a], w: own}"), json!({"x": "a", "y": "b", "z": "b", "w": "own"}), "the first wins");
    assert_eq!(data("{<<: {q: in}, r: own}"), json!({"q": "in", "r": "own"}));
}

#[test]
fn a_stream_of_many_documents_is_read_and_one_of_too_many_refused() {
    let stream = |n: usize| {
        (0..n).fold(String::new(), |mut out, i| {
            let _ = write!(out, "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: n{i}}}\n");
            out
        })
    };
    let file = parse(&stream(5000));
    assert_eq!((file.docs.len(), file.diagnostics.len()), (5000, 0));
    let nulls = "---\n".repeat(limits::MAX_DOCUMENTS + 2);
    assert!(complaints(&nulls).contains("more than 100000 documents"), "{}", complaints(&nulls));
    let wrong = "---\na: b\n".repeat(3000);
    let file = parse(&wrong);
    assert_eq!(file.diagnostics.len(), limits::MAX_DIAGNOSTICS + 1);
    assert!(file.diagnostics[limits::MAX_DIAGNOSTICS].message.contains("more complaints"));
    let told = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nimmutable: true\n".repeat(1100);
    assert!(!parse(&told).has_errors());
}

#[test]
fn hostile_files_cost_no_more_than_their_size() {
    // Each of these took time by the square of its size, or memory by a multiple, if done naively.
    let many = |n: usize, one: &str| one.repeat(n);
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let line = (0..20_000).fold(String::from("{\"a\":0"), |mut out, i| {
        let _ = write!(out, ",\"k{i}\":{i}");
        out
    }) + "}";
    assert!(first_complaint(&line).contains("`apiVersion` is missing"));
    let keys = (0..20_000).fold(String::from(head), |mut out, i| {
        let _ = writeln!(out, "unknown{i}: x");
        out
    });
    assert_eq!(parse(&keys).diagnostics.len(), limits::MAX_DIAGNOSTICS);
    let env = (0..20_000).fold(String::new(), |mut out, i| {
        let _ = writeln!(out, "      - {{name: A{i}, valueFrom: {{secretKeyRef: {{name: s, key: k}}}}}}");
        out
    });
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n  - name: c\n    image: i:1\n    env:\n{env}"
    );
    assert_eq!(parse(&pod).docs[0].references.len(), 20_001);
    let values = format!("a: [{}]", many(limits::MAX_DOCUMENT_VALUES, "1,"));
    assert!(first_complaint(&values).contains("more than 1000000 values"), "{}", first_complaint(&values));
    let same = format!("{head}data:\n{}", many(20_000, "  a: b\n"));
    assert_eq!(parse(&same).diagnostics.len(), limits::MAX_DIAGNOSTICS);
}

#[test]
fn a_secrets_values_are_nowhere_but_in_its_document() {
    let text = "\
apiVersion: v1
kind: Secret
metadata: {name: s}
type: kubernetes.io/basic-auth
data: {username: hunter2, pin: 12345}
stringData:
  password: [hunter2]
  hunter2
";
    let shown = complaints(text)
        + &complaints("kind: Secret\napiVersion: v1\ndata: {a: hunter2\n")
        + &complaints("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: hunter2, a: 12345}\n");
    assert!(shown.lines().count() > 3 && !shown.contains("hunter2") && !shown.contains("12345"), "{shown}");
    let doc = one_doc(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: Yg==, b: Yg==}\nstringData: {b: 'c', d: ''}\n",
    );
    assert_eq!(doc.value["data"], json!({"a": "Yg==", "b": "Yw==", "d": ""}));
    assert!(doc.value.get("stringData").is_none());
}

#[test]
fn references_carry_their_places() {
    let doc = one_doc(
        "\
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop}
spec:
  imagePullSecrets: [{name: pull}]
  containers:
  - name: c
    image: i:1
    env:
    - name: A
      valueFrom: {configMapKeyRef: {name: settings, key: a}}
    - name: B
      valueFrom:
        secretKeyRef:
          name: password
          key: b
          optional: true
    envFrom: [{secretRef: {name: all}}]
    volumeMounts: [{name: v, mountPath: /v}, {name: p, mountPath: /p}]
  volumes:
  - {name: v, configMap: {name: files, items: [{key: k, path: k}], defaultMode: 0644}}
  - name: p
    projected: {sources: [{secret: {name: tls}}]}
",
    );
    let listed: Vec<String> = doc
        .references
        .iter()
        .map(|r| format!("{} {} {:?} {} {}", r.place, r.key, r.item.as_deref(), r.optional, r.path))
        .collect();
    insta::assert_snapshot!(listed.join("\n"));
    assert_eq!(doc.value.pointer("/spec/volumes/0/configMap/defaultMode"), Some(&json!(420)));
    assert_eq!(doc.references[2].excerpt, "          key: b");
}

#[test]
fn files_are_put_together() {
    let parse =
        |path: &str, text: &str, unsupported| Arc::new(parse_file(path, text.as_bytes(), &Options { unsupported }));
    let ns = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    let set = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\n---\napiVersion: x.io/v1\nkind: Thing\nmetadata: {name: t}\n";
    let snapshot = assemble(
        &[
            parse("b.yaml", WEB, UnsupportedMode::Skip),
            parse("a.yaml", ns, UnsupportedMode::Skip),
            parse("c.yaml", set, UnsupportedMode::Skip),
        ],
        &Customs::default(),
    )
    .unwrap();
    let keys: Vec<String> = snapshot.docs.iter().map(|d| d.key.to_string()).collect();
    assert_eq!(keys, ["Namespace shop", "Deployment default/web"]);
    assert_eq!(snapshot.skipped, ["c.yaml:1: StatefulSet db", "c.yaml:5: Thing t"]);
    let bad = assemble(
        &[
            parse("z.yaml", ns, UnsupportedMode::Reject),
            parse("c/kustomization.yaml", "resources: []", UnsupportedMode::Reject),
            parse("a.yaml", &format!("{ns}---\n{ns}"), UnsupportedMode::Reject),
            parse("b.yaml", set, UnsupportedMode::Reject),
        ],
        &Customs::default(),
    )
    .unwrap_err();
    insta::assert_snapshot!(bad.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    let moved = parse("a.yaml", WEB, UnsupportedMode::Reject).with_path("d/e.yaml");
    assert_eq!(moved, *parse("d/e.yaml", WEB, UnsupportedMode::Reject));
}

#[test]
fn endpoints_by_hand_stand_beside_a_service_without_selector() {
    let service = |spec: &str| format!("apiVersion: v1\nkind: Service\nmetadata: {{name: db}}\nspec: {spec}\n");
    let endpoints = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: db}\nsubsets: [{addresses: [{ip: 192.0.2.7}], ports: [{port: 1}]}]\n";
    let read = |spec: &str| {
        let files = [parse(&format!("{}---\n{endpoints}", service(spec)))];
        assemble(&files.map(Arc::new), &Customs::default())
    };
    assert_eq!(read("{ports: [{port: 1}]}").unwrap().docs.len(), 2);
    let bad = read("{selector: {app: db}, ports: [{port: 1}]}").unwrap_err();
    assert!(bad.len() == 1 && bad[0].to_string().starts_with("a.yaml:6:1: metadata.name: the Service"), "{bad:?}");
}

const CRD: &str = r"apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, maximum: 5}
              glossy: {type: boolean}
              color: {type: string, enum: [red, green], default: red}
";

#[test]
fn words_and_numbers_are_read_as_by_kubernetes_clients() {
    let doc = one_doc(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  annotations: {agreed: yes}
spec:
  replicas: 3.0
  paused: Off
  minReadySeconds: 1e1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: web:1, tty: y, resources: {limits: {cpu: 2.0}}}]
",
    );
    let spec = &doc.value["spec"];
    assert_eq!((&spec["replicas"], &spec["minReadySeconds"]), (&3.into(), &10.into()));
    let container = &spec["template"]["spec"]["containers"][0];
    assert_eq!((&spec["paused"], &container["tty"]), (&false.into(), &true.into()));
    assert_eq!(doc.value["metadata"]["annotations"]["agreed"], "yes");
    assert_eq!(container["resources"]["limits"]["cpu"].as_str().map(|cpu| cpu.trim_end_matches(".0")), Some("2"));
}

const WIDGETS: &str = "apiVersion: example.com/v1
kind: Widget
metadata: {name: a}
spec: {size: 3.0, glossy: yes}
---
apiVersion: example.com/v1
kind: Widget
metadata: {name: b}
spec:
  size: 9
  colour: red
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
";

#[test]
fn objects_are_checked_by_the_definition_in_another_file() {
    let parse = |path: &str, text: &str| Arc::new(parse_file(path, text.as_bytes(), &Options::default()));
    let told = |files: &[Arc<FileParse>], known: &Customs| -> Vec<String> {
        assemble(files, known).map_or_else(|bad| bad.iter().map(ToString::to_string).collect(), |_| Vec::new())
    };
    let bad = told(&[parse("a.yaml", WIDGETS), parse("z.yaml", CRD)], &Customs::default());
    assert_eq!(bad.len(), 2, "{bad:?}");
    assert!(bad[0].starts_with("a.yaml:10:9") && bad[0].contains("should be less than or equal to 5"), "{bad:?}");
    assert!(bad[1].starts_with("a.yaml:11:3") && bad[1].contains("did you mean `color`?"), "{bad:?}");
    let good = WIDGETS.replace("size: 9", "size: 5").replace("colour", "color");
    let files = [parse("a.yaml", &good), parse("z.yaml", CRD)];
    let snapshot = assemble(&files, &Customs::default()).unwrap();
    let keys: Vec<String> = snapshot.docs.iter().map(|d| d.key.to_string()).collect();
    let expected = [
        "CustomResourceDefinition widgets.example.com",
        "ConfigMap default/c",
        "Widget.example.com default/a",
        "Widget.example.com default/b",
    ];
    assert_eq!(keys, expected);
    assert_eq!(
        snapshot.docs[2].value["spec"],
        serde_json::json!({"size": 3, "glossy": true}),
        "what was written, without defaults"
    );
    // Without the definition nothing is known, unless the cluster has it.
    let alone = [parse("a.yaml", &good)];
    assert!(
        told(&alone, &Customs::default())[0]
            .contains("a.yaml:2:7: kind: Widget of example.com/v1: no CustomResourceDefinition")
    );
    // A kind of others may be called like one of Kubernetes.
    let theirs = [parse("a.yaml", "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n")];
    let expected = "a.yaml:2:7: kind: Service of serving.knative.dev/v1: no CustomResourceDefinition";
    assert!(told(&theirs, &Customs::default())[0].contains(expected));
    let mut known = Customs::default();
    known.insert(evenkeel_schema::custom::Definition::read(&snapshot.docs[0].value["spec"], false).unwrap());
    assert_eq!(told(&alone, &known), [""; 0]);
    let other = [parse("a.yaml", &good.replace("example.com/v1", "example.com/v2"))];
    assert!(told(&other, &known)[0].contains("its definition serves v1"), "{:?}", told(&other, &known));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = parse_file("a.yaml", &bytes, &Options::default());
    }

    #[test]
    fn no_text_of_yaml_signs_makes_it_panic(text in "[-a:{}\\[\\],\"'#&*!|>%?@` \n\t~0<.]{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn a_manifest_cut_or_changed_anywhere_is_read_or_told(at in 0..WEB.len(), with in "[-a:{}\\[\\],\"' \n\t&*]{0,3}", cut in 0..20_usize) {
        let end = (at + cut).min(WEB.len());
        let text = format!("{}{with}{}", &WEB[..at], &WEB[end..]);
        let file = parse(&text);
        for d in &file.diagnostics {
            proptest::prop_assert!(d.width >= 1);
        }
    }
}

#[test]
fn broken_text_does_not_hide_what_is_wrong_with_the_documents_after_it() {
    let config =
        |name: &str, rest: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n{rest}");
    let text = [
        config("a", "data:\n  k: \"no end\n"),
        config("b", "dat: {}\n"),
        config("c", "data:\n  k: |\n    ---\n    x\n"),
        config("d", "data:\n  k: [1\n"),
        config("e", "data: {k: \"---\", l: 5}\n"),
        config("f", "{{- if .Values.x }}\n"),
        config("g", "metadata: {name: z}\n"),
    ]
    .join("---\n");
    let file = parse(&text);
    let told: Vec<String> = file.diagnostics.iter().map(|d| format!("{}: {}", d.place, d.message)).collect();
    let line = |part: &str| text.lines().position(|l| l.contains(part)).unwrap() + 1;
    let expect = |part: &str, what: &str| {
        let place = format!(":{}:", line(part));
        assert!(told.iter().any(|t| t.contains(&place) && t.contains(what)), "{part} {what}: {told:#?}");
    };
    expect("no end", "not valid YAML");
    expect("dat: {}", "did you mean `data`");
    expect("l: 5", "quote it");
    expect("{{- if", "template");
    expect("name: z", "duplicate key `metadata`");
    assert_eq!((told.len(), told.iter().filter(|t| t.contains("not valid YAML")).count()), (6, 2), "{told:#?}");
    assert_eq!(file.docs.iter().map(|d| &*d.key.name).collect::<Vec<_>>(), ["c"], "{told:#?}");
}

#[test]
#[allow(clippy::disallowed_methods)] // it reads the example that is shipped
fn the_example_is_accepted() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests-example");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if evenkeel_manifest::is_manifest_path(&name) {
            let bytes = std::fs::read(entry.path()).unwrap();
            files.push(Arc::new(parse_file(&name, &bytes, &Options::default())));
        }
    }
    let snapshot = assemble(&files, &Customs::default()).unwrap_or_else(|e| panic!("{}", e[0]));
    assert!(snapshot.docs.len() >= 4 && snapshot.warnings.is_empty(), "{:?}", snapshot.warnings);
}
