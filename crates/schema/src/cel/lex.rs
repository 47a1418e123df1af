//! Text to tokens.

use alloc::{string::String, sync::Arc, vec::Vec};

use super::{Fault, ast::Literal};

/// A token and where it begins, in characters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) is: Tok,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tok {
    Name(String),
    Literal(Literal),
    /// `in` is one, too.
    Sign(&'static str),
    End,
}

/// Longer ones first.
const SIGNS: [&str; 27] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "(", ")", "[", "]", "{", "}", ".", ",", "?", ":", "+", "-", "*", "/",
    "%", "!", "=", "&", "|",
];

/// Words that nothing may be called.
pub(super) const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "namespace",
    "package",
    "return",
    "var",
    "void",
    "while",
];

struct Lexer<'t> {
    text: Vec<char>,
    at: usize,
    out: Vec<Token>,
    source: &'t str,
}

/// All tokens of a text, the end last.
pub(super) fn tokens(source: &str) -> Result<Vec<Token>, Fault> {
    let mut lexer = Lexer { text: source.chars().collect(), at: 0, out: Vec::new(), source };
    while lexer.next()? {}
    Ok(lexer.out)
}

impl Lexer<'_> {
    fn peek(&self, by: usize) -> Option<char> {
        self.text.get(self.at + by).copied()
    }

    fn push(&mut self, at: usize, is: Tok) {
        self.out.push(Token { at, is });
    }

    fn fault(&self, at: usize, why: impl Into<String>) -> Fault {
        Fault::syntax(self.source, at, &why.into())
    }

    fn next(&mut self) -> Result<bool, Fault> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(c), _) if c.is_whitespace() => self.at += 1,
                (Some('/'), Some('/')) => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                _ => break,
            }
        }
        let at = self.at;
        let Some(c) = self.peek(0) else {
            self.push(at, Tok::End);
            return Ok(false);
        };
        if self.quoted(at)? {
            return Ok(true);
        }
        if c.is_ascii_alphabetic() || c == '_' {
            self.word(at)?;
        } else if c.is_ascii_digit() || (c == '.' && self.peek(1).is_some_and(|c| c.is_ascii_digit())) {
            self.number(at)?;
        } else {
            let found = SIGNS.iter().find(|s| s.chars().enumerate().all(|(i, c)| self.peek(i) == Some(c)));
            let Some(sign) = found.filter(|s| !matches!(**s, "=" | "&" | "|")) else {
                return Err(self.fault(at, alloc::format!("token recognition error at: '{c}'")));
            };
            self.at += sign.len();
            self.push(at, Tok::Sign(sign));
        }
        Ok(true)
    }

    fn word(&mut self, at: usize) -> Result<(), Fault> {
        while self.peek(0).is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.at += 1;
        }
        let word: String = self.text[at..self.at].iter().collect();
        let is = match word.as_str() {
            "true" => Tok::Literal(Literal::Bool(true)),
            "false" => Tok::Literal(Literal::Bool(false)),
            "null" => Tok::Literal(Literal::Null),
            "in" => Tok::Sign("in"),
            // After a dot it is a field.
            w if RESERVED.contains(&w) && !matches!(self.out.last(), Some(Token { is: Tok::Sign("."), .. })) => {
                return Err(self.fault(at, alloc::format!("reserved identifier: {w}")));
            }
            _ => Tok::Name(word),
        };
        self.push(at, is);
        Ok(())
    }

    fn number(&mut self, at: usize) -> Result<(), Fault> {
        let hex = self.peek(0) == Some('0') && matches!(self.peek(1), Some('x' | 'X'));
        if hex {
            self.at += 2;
        }
        let mut double = false;
        while let Some(c) = self.peek(0) {
            let exponent = !hex && matches!(c, 'e' | 'E');
            if exponent {
                double = true;
                if matches!(self.peek(1), Some('+' | '-')) {
                    self.at += 1;
                }
            } else if c == '.' && !hex && !double && self.peek(1).is_some_and(|c| c.is_ascii_digit()) {
                double = true;
            } else if !(c.is_ascii_digit() || (hex && c.is_ascii_hexdigit())) {
                break;
            }
            self.at += 1;
        }
        let text: String = self.text[at..self.at].iter().collect();
        let wrong = |what: &str| self.fault(at, alloc::format!("invalid {what} literal"));
        let (digits, radix) = if hex { (&text[2..], 16) } else { (text.as_str(), 10) };
        let literal = if double {
            Literal::Double(text.parse().map_err(|_| wrong("double"))?)
        } else if matches!(self.peek(0), Some('u' | 'U')) {
            let n = u64::from_str_radix(digits, radix).map_err(|_| wrong("uint"))?;
            self.at += 1;
            Literal::Uint(n)
        } else {
            // One more than fits has a minus before it, or is none: the parser looks.
            let n = u64::from_str_radix(digits, radix).map_err(|_| wrong("int"))?;
            match i64::try_from(n) {
                Ok(n) => Literal::Int(n),
                Err(_) if n == 1 << 63 && matches!(self.out.last(), Some(Token { is: Tok::Sign("-"), .. })) => {
                    Literal::Int(i64::MIN)
                }
                Err(_) => return Err(wrong("int")),
            }
        };
        self.push(at, Tok::Literal(literal));
        Ok(())
    }

    /// Text or bytes, with whatever quotes.
    fn quoted(&mut self, at: usize) -> Result<bool, Fault> {
        let mut skip = 0;
        let (mut raw, mut bytes) = (false, false);
        while let Some(c) = self.peek(skip) {
            match c {
                'r' | 'R' if !raw => raw = true,
                'b' | 'B' if !bytes => bytes = true,
                _ => break,
            }
            skip += 1;
        }
        let Some(quote) = self.peek(skip).filter(|c| matches!(c, '"' | '\'')) else { return Ok(false) };
        let long = self.peek(skip + 1) == Some(quote) && self.peek(skip + 2) == Some(quote);
        self.at += skip + if long { 3 } else { 1 };
        let mut out: Vec<u8> = Vec::new();
        loop {
            let Some(c) = self.peek(0).filter(|c| long || *c != '\n') else {
                return Err(self.fault(at, "unterminated string"));
            };
            let closes = c == quote && (!long || (self.peek(1) == Some(quote) && self.peek(2) == Some(quote)));
            if closes {
                self.at += if long { 3 } else { 1 };
                break;
            }
            self.at += 1;
            if c == '\\' && !raw {
                self.escape(at, bytes, &mut out)?;
            } else {
                out.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        let literal = if bytes {
            Literal::Bytes(Arc::from(out))
        } else {
            let text = String::from_utf8(out).map_err(|_| self.fault(at, "invalid text"))?;
            Literal::Text(text.into())
        };
        self.push(at, Tok::Literal(literal));
        Ok(true)
    }

    fn escape(&mut self, at: usize, bytes: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Some(c) = self.peek(0) else { return Err(self.fault(at, "unterminated string")) };
        self.at += 1;
        let simple = match c {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' | '?' | '"' | '\'' | '`' => c as u8,
            _ => 0,
        };
        if simple != 0 {
            out.push(simple);
            return Ok(());
        }
        let (digits, radix) = match c {
            'x' | 'X' => (2, 16),
            'u' if !bytes => (4, 16),
            'U' if !bytes => (8, 16),
            '0'..='3' => {
                self.at -= 1;
                (3, 8)
            }
            _ => return Err(self.fault(at, alloc::format!("unable to unescape '\\{c}'"))),
        };
        let text: String = (0..digits).filter_map(|i| self.peek(i)).collect();
        self.at += text.chars().count();
        let code = u32::from_str_radix(&text, radix).ok().filter(|_| text.len() == digits);
        match code {
            Some(code) if bytes => out.push(u8::try_from(code).unwrap_or(u8::MAX)),
            Some(code) => match char::from_u32(code) {
                Some(c) => out.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => return Err(self.fault(at, "invalid unicode code point")),
            },
            None => return Err(self.fault(at, "unable to unescape a character")),
        }
        Ok(())
    }
}
