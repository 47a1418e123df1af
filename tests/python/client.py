"""What programs do with Kubernetes' own client for Python, against a cluster that runs.

Called by the story `python` with a kubeconfig and the name of a pod in which `cat` can be run.
"""

import base64
import datetime
import json
import sys
import threading

import websocket
from kubernetes import client, config, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient
from kubernetes.stream import stream

NAMESPACE = "python"
IMAGE = "shop.example/shop:1.0"
LIMIT = 60


def refused(code, reason, call, *args, **kwargs):
    """The call fails with this code and reason."""
    try:
        call(*args, **kwargs)
    except ApiException as error:
        assert error.status == code and f'"reason":"{reason}"' in error.body.replace(" ", ""), error
        return error
    raise AssertionError(f"{call.__name__} was not refused")


def until(call, done, what, *args, **kwargs):
    """Watches until an object is as wanted; gives the kinds of events seen, and the object."""
    seen, watcher = [], watch.Watch()
    for event in watcher.stream(call, *args, timeout_seconds=LIMIT, **kwargs):
        seen.append(event["type"])
        if done(event):
            watcher.stop()
            return seen, event["object"]
    raise AssertionError(f"{what}: only {seen} in {LIMIT} s")


def objects(core):
    """ConfigMaps by every kind of write."""
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="settings", labels={"tier": "a"}), data={"one": "1"})
    made = core.create_namespaced_config_map(NAMESPACE, body)
    refused(409, "AlreadyExists", core.create_namespaced_config_map, NAMESPACE, body)
    refused(404, "NotFound", core.read_namespaced_config_map, "nothing", NAMESPACE)
    patched = core.patch_namespaced_config_map("settings", NAMESPACE, {"data": {"two": "2"}})
    assert patched.data == {"one": "1", "two": "2"}, patched
    patch = [{"op": "remove", "path": "/data/one"}]
    assert core.patch_namespaced_config_map("settings", NAMESPACE, patch).data == {"two": "2"}
    refused(409, "Conflict", core.replace_namespaced_config_map, "settings", NAMESPACE, made)
    listed = core.list_namespaced_config_map(NAMESPACE, label_selector="tier in (a,b)")
    assert [item.metadata.name for item in listed.items] == ["settings"], listed
    assert core.list_namespaced_config_map(NAMESPACE, limit=1).metadata._continue
    old = core.create_namespaced_config_map(NAMESPACE, client.V1ConfigMap(metadata=client.V1ObjectMeta(generate_name="some-")))
    assert old.metadata.name.startswith("some-")


def turns(api):
    """Who elects a leader, and tells of it, writes Leases and Events of both groups."""
    leases, core, events = client.CoordinationV1Api(api), client.CoreV1Api(api), client.EventsV1Api(api)
    now = datetime.datetime.now(datetime.timezone.utc)
    spec = client.V1LeaseSpec(holder_identity="a", lease_duration_seconds=15, acquire_time=now, renew_time=now)
    lease = client.V1Lease(metadata=client.V1ObjectMeta(name="leader"), spec=spec)
    made = leases.create_namespaced_lease(NAMESPACE, lease)
    made.spec.holder_identity = "b"
    renewed = leases.replace_namespaced_lease("leader", NAMESPACE, made)
    assert renewed.spec.holder_identity == "b" and renewed.spec.renew_time == now, renewed
    refused(409, "Conflict", leases.replace_namespaced_lease, "leader", NAMESPACE, lease_of(made, "a"))
    known = {(item.metadata.namespace, item.metadata.name) for item in leases.list_lease_for_all_namespaces().items}
    assert (NAMESPACE, "leader") in known and any(of == "kube-node-lease" for of, _ in known), known
    about = client.V1ObjectReference(api_version="v1", kind="ConfigMap", name="settings", namespace=NAMESPACE)
    old = client.CoreV1Event(
        metadata=client.V1ObjectMeta(generate_name="old-"), involved_object=about, reason="Elected", message="b leads",
        type="Normal", first_timestamp=now, last_timestamp=now, count=1, source=client.V1EventSource(component="py"),
    )
    core.create_namespaced_event(NAMESPACE, old)
    new = client.EventsV1Event(
        metadata=client.V1ObjectMeta(generate_name="new-"), regarding=about, reason="Left", note="a is gone", action="Leave",
        type="Normal", event_time=now, reporting_controller="example.dev/py", reporting_instance="py-1",
    )
    assert events.create_namespaced_event(NAMESPACE, new).note == "a is gone"
    chosen = f"involvedObject.name=settings,involvedObject.namespace={NAMESPACE}"
    told = {item.reason: item.message for item in core.list_namespaced_event(NAMESPACE, field_selector=chosen).items}
    assert told == {"Elected": "b leads", "Left": "a is gone"}, told
    # This client takes none without `eventTime`, which older Events have not, in any cluster.
    listed = events.list_namespaced_event(NAMESPACE, field_selector="regarding.name=settings,reason=Left").items
    assert [(item.note, item.regarding.name) for item in listed] == [("a is gone", "settings")], listed


def lease_of(lease, holder):
    """The lease as somebody else would have it."""
    lease.spec.holder_identity = holder
    return lease


def dynamic(api):
    """What the dynamic client finds out by itself."""
    maps = DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1"}}
    applied = maps.server_side_apply(body, namespace=NAMESPACE, field_manager="one")
    assert applied.data.a == "1", applied
    body["data"]["a"] = "2"
    try:
        maps.server_side_apply(body, namespace=NAMESPACE, field_manager="two")
        raise AssertionError("a field of another one was taken")
    except ApiException as error:
        assert error.status == 409, error
    forced = maps.server_side_apply(body, namespace=NAMESPACE, field_manager="two", force_conflicts=True)
    assert forced.data.a == "2", forced
    secrets = DynamicClient(api).resources.get(api_version="v1", kind="Secret")
    utils.create_from_dict(api, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "v"}}, namespace=NAMESPACE)
    assert secrets.get(name="s", namespace=NAMESPACE).data.k == "dg=="


def workload(core, apps):
    """A Deployment from nothing to its end, followed by watches."""
    labels = {"app": "web"}
    container = client.V1Container(name="shop", image=IMAGE, ports=[client.V1ContainerPort(container_port=8080)])
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container], termination_grace_period_seconds=1)
    )
    spec = client.V1DeploymentSpec(replicas=1, selector=client.V1LabelSelector(match_labels=labels), template=template)
    # The events of one that watches all the time.
    pods = {}

    def follow():
        for event in watch.Watch().stream(core.list_namespaced_pod, NAMESPACE, timeout_seconds=LIMIT):
            pods.setdefault(event["object"].metadata.name, []).append(event["type"])
            if event["type"] == "DELETED" and all(seen[-1] == "DELETED" for seen in pods.values()) and len(pods) > 1:
                return

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    apps.create_namespaced_deployment(NAMESPACE, client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec))
    seen, deployment = until(
        apps.list_namespaced_deployment, lambda e: (e["object"].status.available_replicas or 0) == 1, "web is available", NAMESPACE
    )
    assert seen[0] == "ADDED" and "MODIFIED" in seen, seen
    apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 2}})
    until(
        apps.list_namespaced_deployment,
        lambda e: (e["object"].status.available_replicas or 0) == 2,
        "two are available",
        NAMESPACE,
        resource_version=deployment.metadata.resource_version,
    )
    name = core.list_namespaced_pod(NAMESPACE, label_selector="app=web").items[0].metadata.name
    logs(core, name)
    said = stream(
        core.connect_get_namespaced_pod_exec, name, NAMESPACE, command=["/shop", "get", "127.0.0.1:8080"], stdout=True, stderr=True, stdin=False, tty=False
    )
    assert "from shop 1.0" in said, said
    apps.delete_namespaced_deployment("web", NAMESPACE, propagation_policy="Foreground")
    follower.join(LIMIT)
    assert not follower.is_alive() and len(pods) == 2, pods
    for seen in pods.values():
        assert seen[0] == "ADDED" and seen[-1] == "DELETED" and set(seen[1:-1]) == {"MODIFIED"}, pods


def logs(core, name):
    """What a pod has said, and says while somebody reads."""
    first = core.read_namespaced_pod_log(name, NAMESPACE, tail_lines=1)
    assert first, "it says something at its start"
    followed = core.read_namespaced_pod_log(name, NAMESPACE, follow=True, timestamps=True, _preload_content=False)
    line = next(followed.stream(decode_content=False))
    assert b"T" in line.split(b" ")[0], line
    followed.close()
    watcher = watch.Watch()
    for line in watcher.stream(core.read_namespaced_pod_log, name, NAMESPACE, follow=True):
        assert line, "a line"
        watcher.stop()


def command(core, pod):
    """A command that is spoken with, and its exit code."""
    kept = stream(
        core.connect_get_namespaced_pod_exec,
        pod,
        "default",
        command=["sh", "-c", "read line; echo \"got $line\"; echo wrong >&2; exit 3"],
        stdin=True,
        stdout=True,
        stderr=True,
        tty=False,
        _preload_content=False,
    )
    kept.write_stdin("hello\n")
    kept.run_forever(timeout=LIMIT)
    assert kept.read_stdout() == "got hello\n", "its output"
    assert kept.read_stderr() == "wrong\n", "its errors"
    assert kept.returncode == 3, kept.returncode


def page(core, rbac, pod):
    """What a page in a browser does, which can set no header: all on WebSockets, its token among the protocols."""
    edit = client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name="edit")
    account = client.RbacV1Subject(kind="ServiceAccount", name="default", namespace="default")
    name = client.V1ObjectMeta(name="page")
    rbac.create_namespaced_role_binding("default", client.V1RoleBinding(metadata=name, role_ref=edit, subjects=[account]))
    asked = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[]))
    token = core.create_namespaced_service_account_token("default", "default", asked).status.token
    coded = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    server = core.api_client.configuration

    def opened(path, protocol):
        return websocket.create_connection(
            f"{server.host.replace('https', 'wss')}/api/v1/namespaces/default/pods{path}",
            subprotocols=[f"base64url.bearer.authorization.k8s.io.{coded}", protocol],
            sslopt={"ca_certs": server.ssl_ca_cert},
            origin="https://pages.example",
            timeout=LIMIT,
        )

    watched = opened(f"?watch=true&fieldSelector=metadata.name%3D{pod}", "base64.binary.k8s.io")
    event = json.loads(watched.recv())
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", pod), event
    core.patch_namespaced_pod(pod, "default", {"metadata": {"annotations": {"seen": "true"}}})
    event = json.loads(watched.recv())
    assert (event["type"], event["object"]["metadata"]["annotations"]["seen"]) == ("MODIFIED", "true"), event
    watched.close()
    command = opened(f"/{pod}/exec?command=sh&command=-c&command=echo%20hi%3B%20exit%203&stdout=1", "base64.channel.k8s.io")
    said = [(text[:1], base64.b64decode(text[1:]).decode()) for text in iter(command.recv, "")]
    assert said == [("1", ""), ("1", "hi\n"), ("3", "command terminated with non-zero exit code: exit status 3")], said
    log = opened(f"/{pod}/log", "base64.binary.k8s.io")
    assert log.recv() == "", "a log begins with an empty message"
    log.close()


def main():
    config.load_kube_config(sys.argv[1])
    api = client.ApiClient()
    core, apps, rbac = client.CoreV1Api(api), client.AppsV1Api(api), client.RbacAuthorizationV1Api(api)
    assert client.VersionApi(api).get_code().minor
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
    for part, args in [(objects, [core]), (turns, [api]), (dynamic, [api]), (workload, [core, apps]), (command, [core, sys.argv[2]]), (page, [core, rbac, sys.argv[2]])]:
        part(*args)
        print(f"{part.__name__}: ok", flush=True)
    before = core.list_namespace().metadata.resource_version
    core.delete_namespace(NAMESPACE)
    until(
        core.list_namespace,
        lambda e: e["type"] == "DELETED" and e["object"].metadata.name == NAMESPACE,
        "the namespace is gone",
        field_selector=f"metadata.name={NAMESPACE}",
        resource_version=before,
    )
    print("done")


main()
