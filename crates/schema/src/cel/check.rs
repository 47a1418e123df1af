//! What an expression means before it runs: every name is known, every call has a meaning for what it is
//! given. Faults have cel-go's words.

use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{
    Fault,
    ast::{Call, Each, Expr, Is, Literal, Operator, What},
    escape,
    functions::signatures,
    types::Ty,
};

/// Names and their types, the innermost last.
pub(super) struct Check<'n, 't> {
    source: &'t str,
    names: Vec<(String, Ty<'n>)>,
    /// Whether this name was used.
    watched: Option<(&'static str, bool)>,
}

type Checked<'n> = Result<Ty<'n>, Fault>;

impl<'n, 't> Check<'n, 't> {
    pub(super) fn new(source: &'t str, names: Vec<(String, Ty<'n>)>) -> Self {
        Self { source, names, watched: None }
    }

    /// The type of an expression, and whether it uses `watched`.
    pub(super) fn run(mut self, expr: &Expr, watched: &'static str) -> Result<(Ty<'n>, bool), Fault> {
        self.watched = Some((watched, false));
        let ty = self.expr(expr)?;
        Ok((ty, self.watched.is_some_and(|(_, used)| used)))
    }

    fn fault(&self, at: usize, why: impl Into<String>) -> Fault {
        Fault::syntax(self.source, at, &why.into())
    }

    fn overload(&self, at: usize, name: &str, method: bool, given: &[Ty<'n>]) -> Fault {
        let list = |of: &[Ty<'n>]| of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let shown = match given.split_first() {
            Some((target, rest)) if method => format!("{target}.({})", list(rest)),
            _ => format!("({})", list(given)),
        };
        self.fault(at, format!("found no matching overload for '{name}' applied to '{shown}'"))
    }

    fn all(&mut self, of: &[Expr]) -> Result<Vec<Ty<'n>>, Fault> {
        of.iter().map(|e| self.expr(e)).collect()
    }

    fn expr(&mut self, expr: &Expr) -> Checked<'n> {
        let at = expr.at;
        match &expr.is {
            Is::Literal(literal) => Ok(of_literal(literal)),
            Is::Name(name) => self.name(at, name),
            Is::Field(of, name, optional) => {
                let of = self.expr(of)?;
                let (inner, was_optional) = unwrapped(of);
                let ty = self.field(at, &inner, name)?;
                Ok(if *optional || was_optional { flattened(ty) } else { ty })
            }
            Is::Has(of, name) => {
                let of = self.expr(of)?;
                self.field(at, &unwrapped(of).0, name)?;
                Ok(Ty::Bool)
            }
            Is::Index(of, index, optional) => self.index(at, of, index, *optional),
            Is::Call(call) => self.call(at, call),
            Is::List(items) => self.list(items),
            Is::Map(entries) => self.map(at, entries),
            Is::Not(of) => {
                let of = self.expr(of)?;
                if of.fits(&Ty::Bool) { Ok(Ty::Bool) } else { Err(self.overload(at, "!_", false, &[of])) }
            }
            Is::Minus(of) => {
                let of = self.expr(of)?;
                let fits = matches!(of, Ty::Int | Ty::Double | Ty::Dyn);
                if fits { Ok(of) } else { Err(self.overload(at, "-_", false, &[of])) }
            }
            Is::And(a, b) => self.both(at, "_&&_", a, b),
            Is::Or(a, b) => self.both(at, "_||_", a, b),
            Is::If(condition, then, other) => {
                let types = [self.expr(condition)?, self.expr(then)?, self.expr(other)?];
                if !types[0].fits(&Ty::Bool) || !types[1].fits(&types[2]) {
                    return Err(self.overload(at, "_?_:_", false, &types));
                }
                let [_, then, other] = types;
                Ok(then.join(&other))
            }
            Is::Binary(operator, a, b) => {
                let (a, b) = (self.expr(a)?, self.expr(b)?);
                binary(*operator, &a, &b).ok_or_else(|| self.overload(at, operator.name(), false, &[a, b]))
            }
            Is::Each(each) => self.each(at, each),
            Is::OptMap(parts) => self.opt_map(at, &parts.0, &parts.1, &parts.2, parts.3),
        }
    }

    fn index(&mut self, at: usize, of: &Expr, index: &Expr, optional: bool) -> Checked<'n> {
        let (of, index) = (self.expr(of)?, self.expr(index)?);
        let (inner, was_optional) = unwrapped(of);
        let ty = match &inner {
            Ty::List(item) if index.fits(&Ty::Int) || index.number() => (**item).clone(),
            Ty::Map(key, value) if index.fits(key) => (**value).clone(),
            Ty::Dyn => Ty::Dyn,
            _ => return Err(self.overload(at, "_[_]", false, &[inner, index])),
        };
        Ok(if optional || was_optional { flattened(ty) } else { ty })
    }

    fn list(&mut self, items: &[(Expr, bool)]) -> Checked<'n> {
        let mut item: Option<Ty<'n>> = None;
        for (expr, optional) in items {
            let ty = self.held(expr, *optional)?;
            item = Some(item.map_or_else(|| ty.clone(), |i| i.join(&ty)));
        }
        Ok(Ty::list(item.unwrap_or(Ty::Dyn)))
    }

    /// What a list or a mapping holds of an expression: what is in it, where that is optional.
    fn held(&mut self, expr: &Expr, optional: bool) -> Checked<'n> {
        let ty = self.expr(expr)?;
        Ok(if optional { unwrapped(ty).0 } else { ty })
    }

    fn map(&mut self, at: usize, entries: &[(Expr, Expr, bool)]) -> Checked<'n> {
        let (mut keys, mut values): (Option<Ty<'n>>, Option<Ty<'n>>) = (None, None);
        for (key, value, optional) in entries {
            let key = self.expr(key)?;
            if !matches!(key, Ty::Text | Ty::Bool | Ty::Int | Ty::Uint | Ty::Dyn) {
                return Err(self.fault(at, format!("unsupported key type: {key}")));
            }
            let value = self.held(value, *optional)?;
            keys = Some(keys.map_or_else(|| key.clone(), |k| k.join(&key)));
            values = Some(values.map_or_else(|| value.clone(), |v| v.join(&value)));
        }
        Ok(Ty::Map(Box::new(keys.unwrap_or(Ty::Dyn)), Box::new(values.unwrap_or(Ty::Dyn))))
    }

    fn opt_map(&mut self, at: usize, of: &Expr, name: &str, body: &Expr, flat: bool) -> Checked<'n> {
        let inner = match self.expr(of)? {
            Ty::Optional(inner) => *inner,
            Ty::Dyn => Ty::Dyn,
            other => return Err(self.overload(at, "optMap", true, &[other])),
        };
        match self.within(name, inner, body)? {
            Ty::Dyn => Ok(Ty::Dyn),
            ty @ Ty::Optional(_) if flat => Ok(ty),
            other if flat => Err(self.overload(body.at, "optFlatMap", true, &[other])),
            other => Ok(Ty::optional(other)),
        }
    }

    fn name(&mut self, at: usize, name: &str) -> Checked<'n> {
        if let Some((_, ty)) = self.names.iter().rev().find(|(n, _)| n == name) {
            if let Some((watched, used)) = &mut self.watched
                && *watched == name
            {
                *used = true;
            }
            return Ok(ty.clone());
        }
        // Types are values, too.
        let types = ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type"];
        if types.contains(&name) {
            return Ok(Ty::Type);
        }
        Err(self.fault(at, format!("undeclared reference to '{name}' (in container '')")))
    }

    fn within(&mut self, name: &str, ty: Ty<'n>, body: &Expr) -> Checked<'n> {
        self.names.push((name.into(), ty));
        let out = self.expr(body);
        self.names.pop();
        out
    }

    fn field(&self, at: usize, of: &Ty<'n>, name: &str) -> Checked<'n> {
        let undefined = || self.fault(at, format!("undefined field '{name}'"));
        match of {
            Ty::Dyn => Ok(Ty::Dyn),
            Ty::Map(key, value) if key.fits(&Ty::Text) => Ok((**value).clone()),
            Ty::Metadata if matches!(name, "name" | "generateName") => Ok(Ty::Text),
            Ty::Metadata => Err(undefined()),
            Ty::Object(node, whole) => {
                match name {
                    "apiVersion" | "kind" if *whole => return Ok(Ty::Text),
                    "metadata" if *whole => return Ok(Ty::Metadata),
                    _ => {}
                }
                // Only the one way to write a name is right.
                let real = escape::unescaped(name).filter(|r| escape::escaped(r).as_deref() == Some(name));
                let child = real.and_then(|r| node.properties.get(&r));
                child.and_then(|c| Ty::of(c, false)).ok_or_else(undefined)
            }
            other => Err(self.fault(at, format!("type '{other}' does not support field selection"))),
        }
    }

    fn both(&mut self, at: usize, name: &str, a: &Expr, b: &Expr) -> Checked<'n> {
        let types = [self.expr(a)?, self.expr(b)?];
        if types.iter().all(|t| t.fits(&Ty::Bool)) {
            return Ok(Ty::Bool);
        }
        Err(self.overload(at, name, false, &types))
    }

    fn call(&mut self, at: usize, call: &Call) -> Checked<'n> {
        let given = self.all(&call.arguments)?;
        match signatures::result(&call.name, call.method, &given) {
            signatures::Found::Type(ty) => Ok(ty),
            signatures::Found::Other => Err(self.overload(at, &call.name, call.method, &given)),
            signatures::Found::Nothing => {
                Err(self.fault(at, format!("undeclared reference to '{}' (in container '')", call.name)))
            }
        }
    }

    fn each(&mut self, at: usize, each: &Each) -> Checked<'n> {
        let over = self.expr(&each.over)?;
        let (first, second) = match &over {
            Ty::List(item) => (Ty::Int, (**item).clone()),
            Ty::Map(key, value) => ((**key).clone(), (**value).clone()),
            Ty::Dyn => (Ty::Dyn, Ty::Dyn),
            other => {
                let why = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                return Err(self.fault(each.over.at, why));
            }
        };
        let (name, other) = &each.names;
        let before = self.names.len();
        match other {
            Some(other) => self.names.extend([(name.clone(), first), (other.clone(), second)]),
            // Of a mapping its keys.
            None if matches!(over, Ty::List(_)) => self.names.push((name.clone(), second)),
            None => self.names.push((name.clone(), first)),
        }
        let item = self.names.last().map_or(Ty::Dyn, |(_, ty)| ty.clone());
        let filter = each.filter.as_ref().map(|f| self.expr(f)).transpose();
        let body = filter.and_then(|filter| Ok((filter, self.expr(&each.body)?)));
        self.names.truncate(before);
        let (filter, body) = body?;
        if let Some(filter) = filter.filter(|f| !f.fits(&Ty::Bool)) {
            return Err(self.overload(at, "_?_:_", false, &[filter]));
        }
        match each.what {
            What::Map => Ok(Ty::list(body)),
            _ if !body.fits(&Ty::Bool) => {
                let why = format!("expected type 'bool' but found '{body}'");
                Err(self.fault(each.body.at, why))
            }
            What::Filter => Ok(Ty::list(item)),
            What::All | What::Exists | What::ExistsOne => Ok(Ty::Bool),
        }
    }
}

fn of_literal<'n>(literal: &Literal) -> Ty<'n> {
    match literal {
        Literal::Null => Ty::Null,
        Literal::Bool(_) => Ty::Bool,
        Literal::Int(_) => Ty::Int,
        Literal::Uint(_) => Ty::Uint,
        Literal::Double(_) => Ty::Double,
        Literal::Text(_) => Ty::Text,
        Literal::Bytes(_) => Ty::Bytes,
    }
}

/// What an optional holds, and whether it was one.
fn unwrapped(ty: Ty<'_>) -> (Ty<'_>, bool) {
    match ty {
        Ty::Optional(inner) => (*inner, true),
        other => (other, false),
    }
}

/// An optional of it, once.
fn flattened(ty: Ty<'_>) -> Ty<'_> {
    if let Ty::Optional(_) = ty { ty } else { Ty::optional(ty) }
}

/// What an operator gives; `None` where it has no meaning.
fn binary<'n>(operator: Operator, a: &Ty<'n>, b: &Ty<'n>) -> Option<Ty<'n>> {
    use Operator as O;
    let unknown = matches!(a, Ty::Dyn) || matches!(b, Ty::Dyn);
    match operator {
        O::Equal | O::NotEqual => a.fits(b).then_some(Ty::Bool),
        O::Less | O::LessEqual | O::Greater | O::GreaterEqual => {
            let ordered = matches!(a, Ty::Bool | Ty::Text | Ty::Bytes | Ty::Timestamp | Ty::Duration);
            (unknown || (a.number() && b.number()) || (ordered && a.fits(b))).then_some(Ty::Bool)
        }
        O::In => match b {
            Ty::List(item) => a.fits(item).then_some(Ty::Bool),
            Ty::Map(key, _) => a.fits(key).then_some(Ty::Bool),
            Ty::Dyn => Some(Ty::Bool),
            _ => None,
        },
        _ if unknown => Some(match (a, b) {
            (Ty::List(_), _) | (_, Ty::List(_)) => Ty::list(Ty::Dyn),
            _ => Ty::Dyn,
        }),
        O::Add => match (a, b) {
            (Ty::List(x), Ty::List(y)) => x.fits(y).then(|| a.clone().join(b)),
            (Ty::Timestamp, Ty::Duration) | (Ty::Duration, Ty::Timestamp) => Some(Ty::Timestamp),
            (Ty::Text, Ty::Text) | (Ty::Bytes, Ty::Bytes) | (Ty::Duration, Ty::Duration) => Some(a.clone()),
            _ => same_number(a, b),
        },
        O::Subtract => match (a, b) {
            (Ty::Timestamp, Ty::Timestamp) | (Ty::Duration, Ty::Duration) => Some(Ty::Duration),
            (Ty::Timestamp, Ty::Duration) => Some(Ty::Timestamp),
            _ => same_number(a, b),
        },
        O::Multiply | O::Divide => same_number(a, b),
        O::Remainder => same_number(a, b).filter(|t| !matches!(t, Ty::Double)),
    }
}

fn same_number<'n>(a: &Ty<'n>, b: &Ty<'n>) -> Option<Ty<'n>> {
    (a.number() && core::mem::discriminant(a) == core::mem::discriminant(b)).then(|| a.clone())
}
