//! Tokens to an expression, macros included.

use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{
    Fault,
    ast::{Call, Each, Expr, Is, Literal, Operator, What},
    lex::{Tok, Token, tokens},
};

/// How deep expressions may nest: walks are recursive. cel-go's own bound is 250.
const MAX_DEPTH: u32 = 100;
/// How deep their trees may be: a long sum is a deep tree, too.
const MAX_TREE: u32 = 200;
/// Nodes of one expression: beyond it nobody reads it.
const MAX_NODES: usize = 10_000;

/// Functions whose names have a dot: what stands before it is no variable.
const DOTTED: [&str; 8] = [
    "optional.of",
    "optional.ofNonZeroValue",
    "optional.none",
    "sets.contains",
    "sets.equivalent",
    "sets.intersects",
    "ip.isCanonical",
    "strings.quote",
];

struct Parser<'t> {
    source: &'t str,
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
    nodes: usize,
}

/// Reads an expression.
pub(super) fn parse(source: &str) -> Result<Expr, Fault> {
    let mut parser = Parser { source, tokens: tokens(source)?, at: 0, depth: 0, nodes: 0 };
    let out = parser.expr()?;
    match parser.peek().clone() {
        Token { is: Tok::End, .. } => Ok(out),
        token => Err(parser.unexpected(&token)),
    }
}

type Parsed = Result<Expr, Fault>;

impl Parser<'_> {
    fn peek(&self) -> &Token {
        // The last one is the end, and nothing goes beyond it.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn sign(&mut self, sign: &str) -> bool {
        let is = matches!(self.peek().is, Tok::Sign(s) if s == sign);
        if is {
            self.at += 1;
        }
        is
    }

    fn want(&mut self, sign: &str) -> Result<(), Fault> {
        if self.sign(sign) {
            return Ok(());
        }
        let token = self.peek().clone();
        Err(self.unexpected(&token))
    }

    fn fault(&self, at: usize, why: impl Into<String>) -> Fault {
        Fault::syntax(self.source, at, &why.into())
    }

    fn unexpected(&self, token: &Token) -> Fault {
        let what = match &token.is {
            Tok::Name(name) => name.clone(),
            Tok::Sign(sign) => (*sign).to_string(),
            Tok::Literal(_) => "a literal".into(),
            Tok::End => "<EOF>".into(),
        };
        self.fault(token.at, format!("Syntax error: mismatched input '{what}'"))
    }

    fn node(&mut self, at: usize, is: Is) -> Parsed {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.fault(at, format!("the expression has more than {MAX_NODES} parts")));
        }
        let expr = Expr::new(at, is);
        if expr.depth > MAX_TREE {
            return Err(self.fault(at, format!("the expression nests deeper than {MAX_TREE} levels")));
        }
        Ok(expr)
    }

    fn expr(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fault(self.peek().at, format!("the expression nests deeper than {MAX_DEPTH} levels")));
        }
        let at = self.peek().at;
        let condition = self.or()?;
        let out = if self.sign("?") {
            let then = self.or()?;
            self.want(":")?;
            let other = self.expr()?;
            self.node(at, Is::If(condition.into(), then.into(), other.into()))
        } else {
            Ok(condition)
        };
        self.depth -= 1;
        out
    }

    fn or(&mut self) -> Parsed {
        self.chain("||", Self::and, Is::Or)
    }

    fn and(&mut self) -> Parsed {
        self.chain("&&", Self::relation, Is::And)
    }

    /// A chain of one operator as a tree that is as flat as can be: people write long ones.
    fn chain(&mut self, sign: &str, next: fn(&mut Self) -> Parsed, make: fn(Box<Expr>, Box<Expr>) -> Is) -> Parsed {
        let mut level = alloc::vec![next(self)?];
        while self.sign(sign) {
            level.push(next(self)?);
        }
        while level.len() > 1 {
            let mut above = Vec::with_capacity(level.len().div_ceil(2));
            let mut parts = level.into_iter();
            while let Some(left) = parts.next() {
                above.push(match parts.next() {
                    Some(right) => self.node(left.at, make(left.into(), right.into()))?,
                    None => left,
                });
            }
            level = above;
        }
        match level.pop() {
            Some(out) => Ok(out),
            None => Err(self.fault(self.peek().at, "an expression is wanted")),
        }
    }

    fn binary(&mut self, signs: &[(&str, Operator)], next: fn(&mut Self) -> Parsed) -> Parsed {
        let mut left = next(self)?;
        loop {
            let at = self.peek().at;
            let Some((_, operator)) = signs.iter().find(|(s, _)| self.sign(s)) else { return Ok(left) };
            let right = next(self)?;
            left = self.node(at, Is::Binary(*operator, left.into(), right.into()))?;
        }
    }

    fn relation(&mut self) -> Parsed {
        const SIGNS: [(&str, Operator); 7] = [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessEqual),
            (">=", Operator::GreaterEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
            ("in", Operator::In),
        ];
        self.binary(&SIGNS, Self::sum)
    }

    fn sum(&mut self) -> Parsed {
        self.binary(&[("+", Operator::Add), ("-", Operator::Subtract)], Self::product)
    }

    fn product(&mut self) -> Parsed {
        let signs = [("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)];
        self.binary(&signs, Self::unary)
    }

    fn unary(&mut self) -> Parsed {
        let at = self.peek().at;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fault(at, format!("the expression nests deeper than {MAX_DEPTH} levels")));
        }
        let out = if self.sign("!") {
            let inner = self.unary()?;
            self.node(at, Is::Not(inner.into()))
        } else if self.sign("-") {
            let inner = self.unary()?;
            match inner.is {
                // A literal with its sign; the least whole number has it already.
                Is::Literal(Literal::Int(n)) => self.node(at, Is::Literal(Literal::Int(n.checked_neg().unwrap_or(n)))),
                Is::Literal(Literal::Double(n)) => self.node(at, Is::Literal(Literal::Double(-n))),
                _ => self.node(at, Is::Minus(inner.into())),
            }
        } else {
            self.member()
        };
        self.depth -= 1;
        out
    }

    fn member(&mut self) -> Parsed {
        let mut out = self.primary()?;
        loop {
            let at = self.peek().at;
            if self.sign(".") {
                let optional = self.sign("?");
                let Token { is: Tok::Name(name), at: name_at } = self.take() else {
                    self.at -= 1;
                    let token = self.peek().clone();
                    return Err(self.unexpected(&token));
                };
                if !optional && self.sign("(") {
                    out = self.method(out, name, name_at)?;
                } else {
                    out = self.node(at, Is::Field(out.into(), name, optional))?;
                }
            } else if self.sign("[") {
                let optional = self.sign("?");
                let index = self.expr()?;
                self.want("]")?;
                out = self.node(at, Is::Index(out.into(), index.into(), optional))?;
            } else {
                return Ok(out);
            }
        }
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, Fault> {
        let mut out = Vec::new();
        if self.sign(")") {
            return Ok(out);
        }
        loop {
            out.push(self.expr()?);
            if self.sign(")") {
                return Ok(out);
            }
            self.want(",")?;
        }
    }

    fn method(&mut self, target: Expr, name: String, at: usize) -> Parsed {
        let arguments = self.arguments()?;
        if let Is::Name(of) = &target.is {
            let whole = format!("{of}.{name}");
            if DOTTED.contains(&whole.as_str()) {
                return self.node(at, Is::Call(Call { name: whole, method: false, arguments }));
            }
        }
        let what = match name.as_str() {
            "all" => Some(What::All),
            "exists" => Some(What::Exists),
            "exists_one" | "existsOne" => Some(What::ExistsOne),
            "map" => Some(What::Map),
            "filter" => Some(What::Filter),
            _ => None,
        };
        if let Some(what) = what {
            return self.each(what, target, arguments, at);
        }
        if matches!(name.as_str(), "optMap" | "optFlatMap") && arguments.len() == 2 {
            let mut parts = arguments.into_iter();
            let (Some(variable), Some(body)) = (parts.next(), parts.next()) else {
                return Err(self.fault(at, "two arguments are wanted"));
            };
            let variable = self.variable(&variable)?;
            return self.node(at, Is::OptMap(Box::new((target, variable, body, name == "optFlatMap"))));
        }
        let arguments = core::iter::once(target).chain(arguments).collect();
        self.node(at, Is::Call(Call { name, method: true, arguments }))
    }

    fn variable(&self, expr: &Expr) -> Result<String, Fault> {
        match &expr.is {
            Is::Name(name) => Ok(name.clone()),
            _ => Err(self.fault(expr.at, "argument must be a simple name")),
        }
    }

    fn each(&mut self, what: What, over: Expr, arguments: Vec<Expr>, at: usize) -> Parsed {
        let count = arguments.len();
        let mut parts = arguments.into_iter();
        let mut next = || parts.next();
        let wrong = || self.fault(at, "the macro has another number of arguments");
        let (first, second, third) = (next().ok_or_else(wrong)?, next().ok_or_else(wrong)?, next());
        let two = matches!(what, What::All | What::Exists | What::ExistsOne);
        let (names, filter, body) = match third {
            None => ((self.variable(&first)?, None), None, second),
            Some(body) if count == 3 && what == What::Map => ((self.variable(&first)?, None), Some(second), body),
            Some(body) if count == 3 && two => ((self.variable(&first)?, Some(self.variable(&second)?)), None, body),
            Some(_) => return Err(wrong()),
        };
        self.node(at, Is::Each(Box::new(Each { what, over, names, filter, body })))
    }

    fn primary(&mut self) -> Parsed {
        let Token { at, is } = self.take();
        match is {
            Tok::Literal(literal) => self.node(at, Is::Literal(literal)),
            Tok::Name(name) if self.sign("(") => self.call(name, at),
            Tok::Name(name) => self.node(at, Is::Name(name)),
            Tok::Sign("(") => {
                let out = self.expr()?;
                self.want(")")?;
                Ok(out)
            }
            Tok::Sign("[") => {
                let mut items = Vec::new();
                while !self.sign("]") {
                    let optional = self.sign("?");
                    items.push((self.expr()?, optional));
                    if !self.sign(",") {
                        self.want("]")?;
                        break;
                    }
                }
                self.node(at, Is::List(items))
            }
            Tok::Sign("{") => {
                let mut entries = Vec::new();
                while !self.sign("}") {
                    let optional = self.sign("?");
                    let key = self.expr()?;
                    self.want(":")?;
                    entries.push((key, self.expr()?, optional));
                    if !self.sign(",") {
                        self.want("}")?;
                        break;
                    }
                }
                self.node(at, Is::Map(entries))
            }
            is => Err(self.unexpected(&Token { at, is })),
        }
    }

    fn call(&mut self, name: String, at: usize) -> Parsed {
        let mut arguments = self.arguments()?;
        if name != "has" {
            return self.node(at, Is::Call(Call { name, method: false, arguments }));
        }
        match (arguments.pop().map(|e| e.is), arguments.is_empty()) {
            (Some(Is::Field(of, field, false)), true) => self.node(at, Is::Has(of, field)),
            _ => Err(self.fault(at, "invalid argument to has() macro")),
        }
    }
}
