//! Which functions there are, what they take and give.
//!
//! The standard ones, and Kubernetes' libraries that are common in rules: strings, lists, sets, regular
//! expressions, addresses of the web, quantities, addresses and ranges of networks, optional values. A function
//! that is not here refuses the rule that calls it.

use alloc::{boxed::Box, vec::Vec};

use super::super::types::Ty;

/// A type in a signature.
#[derive(Debug, Clone, Copy)]
enum T {
    /// Whatever it is; the same wherever it stands in one signature.
    A,
    /// Anything.
    Any,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Time,
    Duration,
    Quantity,
    Url,
    Ip,
    Cidr,
    Type,
    /// A list of A.
    ListA,
    Texts,
    /// A list of anything, or a mapping.
    Sized,
    /// A list of what has an order.
    OrderedListA,
    /// A list of what can be added up.
    SummedListA,
    OptionalA,
}

/// What was found of a call.
pub(in crate::cel) enum Found<'n> {
    /// What it gives.
    Type(Ty<'n>),
    /// The function takes something else.
    Other,
    /// There is no such function.
    Nothing,
}

use T::{
    A, Any, Bool, Bytes, Cidr, Double, Duration, Int, Ip, ListA, OptionalA, OrderedListA, Quantity, Sized, SummedListA,
    Text, Texts, Time, Type, Uint, Url,
};

type Signature = (&'static str, &'static [T], T);

/// Called as `f(a, b)`.
const FUNCTIONS: &[Signature] = &[
    ("size", &[Text], Int),
    ("size", &[Bytes], Int),
    ("size", &[Sized], Int),
    ("matches", &[Text, Text], Bool),
    ("dyn", &[Any], Any),
    ("type", &[Any], Type),
    ("bool", &[Bool], Bool),
    ("bool", &[Text], Bool),
    ("int", &[Int], Int),
    ("int", &[Uint], Int),
    ("int", &[Double], Int),
    ("int", &[Text], Int),
    ("int", &[Time], Int),
    ("uint", &[Uint], Uint),
    ("uint", &[Int], Uint),
    ("uint", &[Double], Uint),
    ("uint", &[Text], Uint),
    ("double", &[Double], Double),
    ("double", &[Int], Double),
    ("double", &[Uint], Double),
    ("double", &[Text], Double),
    ("string", &[Text], Text),
    ("string", &[Bool], Text),
    ("string", &[Int], Text),
    ("string", &[Uint], Text),
    ("string", &[Double], Text),
    ("string", &[Bytes], Text),
    ("string", &[Time], Text),
    ("string", &[Duration], Text),
    ("string", &[Ip], Text),
    ("string", &[Cidr], Text),
    ("bytes", &[Bytes], Bytes),
    ("bytes", &[Text], Bytes),
    ("timestamp", &[Time], Time),
    ("timestamp", &[Text], Time),
    ("duration", &[Duration], Duration),
    ("duration", &[Text], Duration),
    ("quantity", &[Text], Quantity),
    ("isQuantity", &[Text], Bool),
    ("url", &[Text], Url),
    ("isURL", &[Text], Bool),
    ("ip", &[Text], Ip),
    ("isIP", &[Text], Bool),
    ("ip.isCanonical", &[Text], Bool),
    ("cidr", &[Text], Cidr),
    ("isCIDR", &[Text], Bool),
    ("sets.contains", &[ListA, ListA], Bool),
    ("sets.equivalent", &[ListA, ListA], Bool),
    ("sets.intersects", &[ListA, ListA], Bool),
    ("optional.of", &[A], OptionalA),
    ("optional.ofNonZeroValue", &[A], OptionalA),
    ("optional.none", &[], OptionalA),
    ("strings.quote", &[Text], Text),
];

/// Called as `a.f(b)`.
const METHODS: &[Signature] = &[
    ("size", &[Text], Int),
    ("size", &[Bytes], Int),
    ("size", &[Sized], Int),
    ("contains", &[Text, Text], Bool),
    ("startsWith", &[Text, Text], Bool),
    ("endsWith", &[Text, Text], Bool),
    ("matches", &[Text, Text], Bool),
    ("charAt", &[Text, Int], Text),
    ("indexOf", &[Text, Text], Int),
    ("indexOf", &[Text, Text, Int], Int),
    ("lastIndexOf", &[Text, Text], Int),
    ("lastIndexOf", &[Text, Text, Int], Int),
    ("indexOf", &[ListA, A], Int),
    ("lastIndexOf", &[ListA, A], Int),
    ("lowerAscii", &[Text], Text),
    ("upperAscii", &[Text], Text),
    ("replace", &[Text, Text, Text], Text),
    ("replace", &[Text, Text, Text, Int], Text),
    ("split", &[Text, Text], Texts),
    ("split", &[Text, Text, Int], Texts),
    ("substring", &[Text, Int], Text),
    ("substring", &[Text, Int, Int], Text),
    ("trim", &[Text], Text),
    ("reverse", &[Text], Text),
    ("join", &[Texts], Text),
    ("join", &[Texts, Text], Text),
    ("find", &[Text, Text], Text),
    ("findAll", &[Text, Text], Texts),
    ("findAll", &[Text, Text, Int], Texts),
    ("isSorted", &[OrderedListA], Bool),
    ("sum", &[SummedListA], A),
    ("min", &[OrderedListA], A),
    ("max", &[OrderedListA], A),
    ("getScheme", &[Url], Text),
    ("getHost", &[Url], Text),
    ("getHostname", &[Url], Text),
    ("getPort", &[Url], Text),
    ("getEscapedPath", &[Url], Text),
    ("isInteger", &[Quantity], Bool),
    ("asInteger", &[Quantity], Int),
    ("asApproximateFloat", &[Quantity], Double),
    ("sign", &[Quantity], Int),
    ("add", &[Quantity, Quantity], Quantity),
    ("add", &[Quantity, Int], Quantity),
    ("sub", &[Quantity, Quantity], Quantity),
    ("sub", &[Quantity, Int], Quantity),
    ("compareTo", &[Quantity, Quantity], Int),
    ("isLessThan", &[Quantity, Quantity], Bool),
    ("isGreaterThan", &[Quantity, Quantity], Bool),
    ("family", &[Ip], Int),
    ("isUnspecified", &[Ip], Bool),
    ("isLoopback", &[Ip], Bool),
    ("isLinkLocalMulticast", &[Ip], Bool),
    ("isLinkLocalUnicast", &[Ip], Bool),
    ("isGlobalUnicast", &[Ip], Bool),
    ("containsIP", &[Cidr, Ip], Bool),
    ("containsIP", &[Cidr, Text], Bool),
    ("containsCIDR", &[Cidr, Cidr], Bool),
    ("containsCIDR", &[Cidr, Text], Bool),
    ("ip", &[Cidr], Ip),
    ("masked", &[Cidr], Cidr),
    ("prefixLength", &[Cidr], Int),
    ("getFullYear", &[Time], Int),
    ("getMonth", &[Time], Int),
    ("getDate", &[Time], Int),
    ("getDayOfMonth", &[Time], Int),
    ("getDayOfWeek", &[Time], Int),
    ("getDayOfYear", &[Time], Int),
    ("getHours", &[Time], Int),
    ("getMinutes", &[Time], Int),
    ("getSeconds", &[Time], Int),
    ("getMilliseconds", &[Time], Int),
    ("getHours", &[Duration], Int),
    ("getMinutes", &[Duration], Int),
    ("getSeconds", &[Duration], Int),
    ("getMilliseconds", &[Duration], Int),
    ("hasValue", &[OptionalA], Bool),
    ("value", &[OptionalA], A),
    ("or", &[OptionalA, OptionalA], OptionalA),
    ("orValue", &[OptionalA, A], A),
];

/// What a call gives for what it is given.
pub(in crate::cel) fn result<'n>(name: &str, method: bool, given: &[Ty<'n>]) -> Found<'n> {
    let all = if method { METHODS } else { FUNCTIONS };
    let named: Vec<&Signature> = all.iter().filter(|(n, ..)| *n == name).collect();
    if named.is_empty() {
        return Found::Nothing;
    }
    let mut fitting = named.into_iter().filter_map(|(_, takes, gives)| {
        let mut a = None;
        let fits = takes.len() == given.len() && takes.iter().zip(given).all(|(t, ty)| takes_it(*t, ty, &mut a));
        fits.then(|| gives_it(*gives, a.as_ref()))
    });
    let Some(first) = fitting.next() else { return Found::Other };
    // What is not known may mean several: then what it gives is known only when it runs.
    Found::Type(fitting.fold(first, |all, one| all.join(&one)))
}

fn ordered(ty: &Ty<'_>) -> bool {
    ty.number() || matches!(ty, Ty::Dyn | Ty::Bool | Ty::Text | Ty::Bytes | Ty::Timestamp | Ty::Duration)
}

fn takes_it<'n>(wanted: T, ty: &Ty<'n>, a: &mut Option<Ty<'n>>) -> bool {
    let mut bind = |ty: &Ty<'n>| match a.take() {
        Some(before) if before.fits(ty) => {
            *a = Some(before.join(ty));
            true
        }
        Some(_) => false,
        None => {
            *a = Some(ty.clone());
            true
        }
    };
    let mut list = |ty: &Ty<'n>, good: fn(&Ty<'n>) -> bool| match ty {
        Ty::List(item) if good(item) => bind(item),
        Ty::Dyn => bind(&Ty::Dyn),
        _ => false,
    };
    match wanted {
        A => bind(ty),
        Any => true,
        Bool => ty.fits(&Ty::Bool),
        Int => ty.fits(&Ty::Int),
        Uint => ty.fits(&Ty::Uint),
        Double => ty.fits(&Ty::Double),
        Text => ty.fits(&Ty::Text),
        Bytes => ty.fits(&Ty::Bytes),
        Time => ty.fits(&Ty::Timestamp) && !matches!(ty, Ty::Null),
        Duration => ty.fits(&Ty::Duration) && !matches!(ty, Ty::Null),
        Quantity => ty.fits(&Ty::Quantity),
        Url => ty.fits(&Ty::Url),
        Ip => ty.fits(&Ty::Ip),
        Cidr => ty.fits(&Ty::Cidr),
        Type => ty.fits(&Ty::Type),
        ListA => list(ty, |_| true),
        Texts => ty.fits(&Ty::list(Ty::Text)),
        Sized => matches!(ty, Ty::List(_) | Ty::Map(..) | Ty::Dyn),
        OrderedListA => list(ty, ordered),
        SummedListA => list(ty, |t| t.number() || matches!(t, Ty::Duration | Ty::Dyn)),
        OptionalA => match ty {
            Ty::Optional(inner) => bind(inner),
            Ty::Dyn => bind(&Ty::Dyn),
            _ => false,
        },
    }
}

fn gives_it<'n>(gives: T, a: Option<&Ty<'n>>) -> Ty<'n> {
    let a = || a.cloned().unwrap_or(Ty::Dyn);
    match gives {
        A => a(),
        Any | Sized => Ty::Dyn,
        Bool => Ty::Bool,
        Int => Ty::Int,
        Uint => Ty::Uint,
        Double => Ty::Double,
        Text => Ty::Text,
        Bytes => Ty::Bytes,
        Time => Ty::Timestamp,
        Duration => Ty::Duration,
        Quantity => Ty::Quantity,
        Url => Ty::Url,
        Ip => Ty::Ip,
        Cidr => Ty::Cidr,
        Type => Ty::Type,
        ListA | OrderedListA | SummedListA => Ty::list(a()),
        Texts => Ty::list(Ty::Text),
        OptionalA => Ty::Optional(Box::new(a())),
    }
}
