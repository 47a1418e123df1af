//! Expressions on a small object: what they give, what is refused before they run, and that they end.

use std::{format, string::String, string::ToString, vec::Vec};

use serde_json::{Value, json};

use super::*;
use crate::{custom::root, path::Trail, validate::Complaints};

fn node() -> Node {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "n": {"type": "integer"}, "m": {"type": "integer"}, "d": {"type": "number"}, "s": {"type": "string"},
            "b": {"type": "boolean"}, "port": {"x-kubernetes-int-or-string": true},
            "when": {"type": "string", "format": "date-time"}, "long": {"type": "string", "format": "duration"},
            "a-b": {"type": "string"}, "namespace": {"type": "string"}, "x__y.z": {"type": "integer"},
            "list": {"type": "array", "items": {"type": "integer"}},
            "words": {"type": "array", "items": {"type": "string"}},
            "users": {"type": "array", "items": {"type": "object", "properties": {
                "name": {"type": "string"}, "age": {"type": "integer"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "none": {"type": "string"}}}}});
    let mut out = Complaints::default();
    let node = root(&schema, &Trail::Root, &mut out);
    assert!(out.problems.is_empty());
    node
}

fn object() -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "mine", "namespace": "shop"},
        "spec": {"n": 3, "m": 0, "d": 1.5, "s": "hello", "b": true, "port": "http", "when": "2026-01-02T03:04:05Z",
            "long": "1h30m", "a-b": "dashed", "namespace": "ns", "x__y.z": 7, "list": [3, 1, 2], "words": ["b", "a"],
            "users": [{"name": "an", "age": 30}, {"name": "bo"}], "map": {"k": "v", "l": "w"}, "free": {"any": 1}}})
}

fn judged(source: &str) -> Result<bool, String> {
    let (node, object) = (node(), object());
    let program = Program::compile(source, &node, true, Old::Plain, Gives::Bool).map_err(|f| f.0)?;
    let seen = Seen { value: &object, node: &node, root: true };
    let mut budget = 100_000;
    program.holds(seen, None, Old::Plain, &mut budget).map_err(|e| match e {
        Ended::Fault(why) => why,
        Ended::Budget => "spent".to_string(),
    })
}

#[test]
fn what_holds() {
    for source in [
        // The language.
        "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && -7 / 2 == -3 && -7 % 2 == -1",
        "1.5 + 1.5 == 3.0 && 2u + 3u == 5u && 0x10 == 16 && 1e3 == 1000.0",
        "'a' + \"b\" == 'ab' && '''a'b''' == \"a'b\" && r'\\d' == '\\\\d' && '\\u00e9' == 'é'",
        "!false && (true || 1 / self.spec.m > 0) && !(false && 1 / self.spec.m > 0)",
        "(1 / self.spec.m > 0 || true) && !(1 / self.spec.m > 0 && false)",
        "self.spec.n > 2 ? self.spec.b : false",
        "[1, 2] + [3] == [1, 2, 3] && 2 in [1, 2] && !(3 in [1, 2]) && [1, 2][1] == 2",
        "{'a': 1, 'b': 2}['b'] == 2 && {'a': 1}.a == 1 && 'a' in {'a': 1} && {1: 'x'}[1] == 'x'",
        "1 < 2u && 1 <= 1.0 && 2.5 > 2 && 'a' < 'b' && null == null",
        "size('héllo') == 5 && 'hello'.size() == 5 && size([1]) == 1 && size({}) == 0 && size(b'abc') == 3",
        "type(1) == int && type('a') == string && type([]) == list",
        "int('12') == 12 && string(12) == '12' && double(3) == 3.0 && int(3.9) == 3 && uint(3) == 3u && bool('true')",
        "dyn(1) == 1 && -9223372036854775808 < 0",
        // Fields.
        "self.spec.n == 3 && self.spec.s == 'hello' && self.spec.d == 1.5 && self.spec.b",
        "has(self.spec.n) && !has(self.spec.none) && has(self.spec.map.k) && !has(self.spec.map.x)",
        "self.metadata.name == 'mine' && self.kind == 'Thing' && self.apiVersion.startsWith('example.com/')",
        "self.spec.a__dash__b == 'dashed' && self.spec.__namespace__ == 'ns' && self.spec.x__underscores__y__dot__z == 7",
        "self.spec.port == 'http' && type(self.spec.port) == string",
        "self.spec.map['k'] == 'v' && 'l' in self.spec.map && self.spec.map.size() == 2",
        // Macros.
        "self.spec.list.all(x, x > 0) && self.spec.list.exists(x, x == 2) && self.spec.list.exists_one(x, x == 3)",
        "self.spec.list.map(x, x * 2) == [6, 2, 4] && self.spec.list.filter(x, x > 1) == [3, 2]",
        "self.spec.list.map(x, x > 1, x + 1) == [4, 3]",
        "self.spec.map.all(k, self.spec.map[k] != '') && self.spec.list.all(i, x, i < 3 && x > 0)",
        "self.spec.map.exists(k, v, k == 'l' && v == 'w')",
        "self.spec.users.all(u, u.name.size() == 2) && self.spec.users.exists(u, has(u.age) && u.age > 20)",
        // One that decides counts though others fail.
        "self.spec.users.exists(u, u.age == 30) && !self.spec.users.all(u, u.age < 30)",
        // Libraries.
        "'hello'.contains('ell') && 'hello'.endsWith('lo') && 'hello'.matches('^h.*o$') && matches('ab', 'b')",
        "'hello'.charAt(1) == 'e' && 'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3 && 'a'.indexOf('b') == -1",
        "'Hello'.lowerAscii() == 'hello' && 'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c']",
        "'hello'.substring(1, 3) == 'el' && ' x '.trim() == 'x' && 'aba'.replace('a', 'c', 1) == 'cba'",
        "['a', 'b'].join('-') == 'a-b' && 'abc'.reverse() == 'cba'",
        "'a1b22'.find('[0-9]+') == '1' && 'a1b22'.findAll('[0-9]+') == ['1', '22'] && 'a1b22'.findAll('[0-9]+', 1) == ['1']",
        "!self.spec.list.isSorted() && self.spec.list.sum() == 6 && self.spec.list.min() == 1 && self.spec.list.max() == 3",
        "self.spec.list.indexOf(1) == 1 && [1, 2, 1].lastIndexOf(1) == 2 && [].sum() == 0 && [1, 2].isSorted()",
        "sets.contains([1, 2, 3], [3, 1]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])",
        "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('500m').add(quantity('1')).compareTo(quantity('1500m')) == 0",
        "isQuantity('1Gi') && !isQuantity('x') && quantity('2').asInteger() == 2 && quantity('-1').sign() == -1",
        "url('https://example.com:80/a%20b?q').getHost() == 'example.com:80' && isURL('/a') && !isURL('a b')",
        "url('https://[::1]:8080/').getHostname() == '::1' && url('https://a/').getPort() == ''",
        "ip('10.0.0.1').family() == 4 && isIP('::1') && !isIP('10.0.0') && ip('127.0.0.1').isLoopback()",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8')",
        "string(cidr('10.1.2.3/8').ip()) == '10.1.2.3' && cidr('::/0').prefixLength() == 0 && ip.isCanonical('::1')",
        "self.spec.when.getFullYear() == 2026 && self.spec.when + duration('1h') > self.spec.when",
        "self.spec.long == duration('90m') && self.spec.long.getMinutes() == 90 && timestamp('2026-01-02T03:04:05Z') == self.spec.when",
        // Optional values.
        "self.spec.?none.orValue('x') == 'x' && self.spec.?s.value() == 'hello' && !self.spec.?none.hasValue()",
        "self.?spec.?users[?5].hasValue() == false && self.spec.users[?0].?name.orValue('') == 'an'",
        "optional.of(1).optMap(x, x + 1).value() == 2 && optional.none().or(optional.of(2)).value() == 2",
        "[?optional.none(), ?optional.of(1)] == [1] && {?'a': optional.none()}.size() == 0",
        "optional.ofNonZeroValue('').hasValue() == false",
        "// a comment\n self.spec.n == 3",
    ] {
        assert_eq!(judged(source), Ok(true), "{source}");
    }
}

#[test]
fn what_fails_when_it_runs() {
    for (source, why) in [
        ("1 / self.spec.m == 1", "division by zero"),
        ("1 % self.spec.m == 1", "modulus by zero"),
        ("self.spec.n + 9223372036854775807 > 0", "integer overflow"),
        ("self.spec.list[9] == 1", "index out of bounds: 9"),
        ("self.spec.map['x'] == ''", "no such key: x"),
        ("self.spec.none == ''", "no such key: none"),
        ("self.spec.port + 1 > 1", "no such overload"),
        ("self.spec.s.matches(self.spec.s + '(')", "error parsing regexp: unclosed group"),
        ("[].max() == 1", "max called on empty list"),
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("'abc'.substring(9) == ''", "index out of range: 9"),
        ("quantity('x').isInteger()", "`x` is not a quantity"),
    ] {
        let found = judged(source).unwrap_err();
        assert!(found.starts_with(why), "{source}: {found}");
    }
}

#[test]
fn what_is_refused_before_it_runs() {
    for (source, why) in [
        ("self.spec.x > 1", "<input>:1:10: undefined field 'x'\n | self.spec.x > 1\n | .........^"),
        ("self.spec.free.any == 1", "undefined field 'any'"),
        ("self.metadata.labels.size() == 0", "undefined field 'labels'"),
        ("self.spec.n == 'a'", "found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.spec.n + 1.0 > 1.0", "found no matching overload for '_+_' applied to '(int, double)'"),
        ("self.spec.s.contains(1)", "found no matching overload for 'contains' applied to 'string.(int)'"),
        ("other == 1", "undeclared reference to 'other' (in container '')"),
        ("self.spec.list.sort() == []", "undeclared reference to 'sort' (in container '')"),
        ("self.spec.list.all(x, x + 1)", "expected type 'bool' but found 'int'"),
        ("self.spec.n.all(x, true)", "expression of type 'int' cannot be range of a comprehension"),
        ("self.spec.n", "cel expression must evaluate to a bool, but it evaluates to int"),
        ("self.spec.n >", "<input>:1:14: Syntax error: mismatched input '<EOF>'"),
        ("self.spec.n = 1", "token recognition error at: '='"),
        ("'abc", "unterminated string"),
        ("has(self)", "invalid argument to has() macro"),
        ("self.spec.a-b == 'x'", "undefined field 'a'"),
        ("self.spec.s.name == 'x'", "type 'string' does not support field selection"),
        ("99999999999999999999 > 1", "invalid int literal"),
        ("for == 1", "reserved identifier: for"),
    ] {
        let found = judged(source).unwrap_err();
        assert!(found.contains(why), "{source}: {found}");
    }
    let deep = format!("{}1{} == 1", "(".repeat(5000), ")".repeat(5000));
    assert!(judged(&deep).unwrap_err().contains("nests deeper"));
    let deep = format!("{}true", "!".repeat(5000));
    assert!(judged(&deep).unwrap_err().contains("nests deeper"));
    let long = std::vec!["1"; 5_000].join("+") + " > 0";
    assert!(judged(&long).unwrap_err().contains("nests deeper"));
    let many = std::vec!["self.spec.s == 'x'"; 1000].join(" || ");
    assert_eq!(judged(&many), Ok(false), "a long choice is no deep one");
}

#[test]
fn a_run_ends() {
    // Ten turns in ten turns in ten ... and text that doubles.
    let lists = "[0,1,2,3,4,5,6,7,8,9]";
    let mut nested = String::from("true");
    for i in 0..9 {
        nested = format!("{lists}.all(x{i}, {nested})");
    }
    assert_eq!(judged(&nested), Err("spent".into()));
    let mut doubled = String::from("'0123456789'");
    for _ in 0..12 {
        doubled = format!("[{doubled}].map(x, x + x + x + x + x + x + x + x)[0]");
    }
    assert_eq!(judged(&format!("{doubled}.size() > 0")), Err("spent".into()));
    let joined = format!(
        "{lists}.map(a, {lists}.map(b, {lists}.map(c, {lists}.map(d, 'x').join('yyyyyyyyy')).join('')).join('')).join('').replace('', 'zzzzzzzzzzzzzzzzzzzz').size() > 0"
    );
    assert_eq!(judged(&joined), Err("spent".into()));
    let (node, object) = (node(), object());
    let program = Program::compile(&nested, &node, true, Old::Plain, Gives::Bool).unwrap();
    let mut budget = 1000;
    let seen = Seen { value: &object, node: &node, root: true };
    assert_eq!(program.holds(seen, None, Old::Plain, &mut budget), Err(Ended::Budget));
    assert_eq!(budget, 0);
}

#[test]
fn nothing_that_somebody_writes_breaks_it() {
    let parts = [
        "self", ".", "spec", "(", ")", "[", "]", "{", "}", "?", ":", "'", "\"", "\\", "1", "0x", "1u", "1e", "all",
        "has", ",", "-", "!", "&&", "||", "in", "==", "é", "\n", "b'", "r\"", "/", "//", "optional", "map(x,", "''' ",
    ];
    // Every pair and many longer ones, none of which may do more than be refused.
    let mut seed = 7_u64;
    let mut draw = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % n
    };
    for _ in 0..20_000 {
        let text: Vec<&str> = (0..=draw(9)).map(|_| parts[draw(parts.len())]).collect();
        let _judged = judged_quietly(&text.concat());
    }
}

fn judged_quietly(source: &str) -> Option<bool> {
    use std::sync::OnceLock;
    static NODE: OnceLock<(Node, Value)> = OnceLock::new();
    let (node, object) = NODE.get_or_init(|| (node(), object()));
    let program = Program::compile(source, node, true, Old::Plain, Gives::Bool).ok()?;
    let mut budget = 1000;
    program.holds(Seen { value: object, node, root: true }, None, Old::Plain, &mut budget).ok()
}
