//! Expressions as text that is the same for the same meaning, and what an expression mentions.

use millstream_parser::{BinaryOp, Expr, ExprKind, Ident, Literal, UnaryOp};

/// The expression as text: names unqualified, parentheses around every operation, one blank between words.
pub fn canonical(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Literal(literal) => literal_text(literal),
        ExprKind::Column { name, .. } => quoted(&name.name),
        ExprKind::Unary { op, operand } => format!("({}{})", sign(*op), canonical(operand)),
        ExprKind::Binary { left, op, right, .. } => {
            format!("({} {op} {})", canonical(left), canonical(right))
        }
        ExprKind::Between {
            operand,
            negated,
            low,
            high,
        } => {
            let (low, high) = (canonical(low), canonical(high));
            format!(
                "({} {}BETWEEN {low} AND {high})",
                canonical(operand),
                not(*negated)
            )
        }
        ExprKind::In {
            operand,
            negated,
            candidates,
        } => format!(
            "({} {}IN ({}))",
            canonical(operand),
            not(*negated),
            list(candidates)
        ),
        ExprKind::Like {
            operand,
            negated,
            pattern,
            escape,
        } => {
            let escape = escape.map_or(String::new(), |c| format!(" ESCAPE '{c}'"));
            let pattern = canonical(pattern);
            format!("({} {}LIKE {pattern}{escape})", canonical(operand), not(*negated))
        }
        ExprKind::IsNull { operand, negated } => format!("({} IS {}NULL)", canonical(operand), not(*negated)),
        ExprKind::Case {
            operand,
            branches,
            otherwise,
        } => case(operand.as_deref(), branches, otherwise.as_deref()),
        ExprKind::Cast { operand, sql_type } => format!("CAST({} AS {sql_type})", canonical(operand)),
        ExprKind::Function { name, star: true, .. } => format!("{}(*)", name.name),
        ExprKind::Function { name, arguments, .. } => format!("{}({})", name.name, list(arguments)),
        ExprKind::Field { base, field } => format!("{}->{}", canonical(base), quoted(&field.name)),
        ExprKind::Index { base, index } => format!("{}[{}]", canonical(base), canonical(index)),
        ExprKind::Array(elements) => format!("ARRAY[{}]", list(elements)),
        ExprKind::Map(entries) => {
            let entry = |(key, value): &(Expr, Expr)| format!("{} := {}", canonical(key), canonical(value));
            format!("MAP({})", joined(entries.iter().map(entry)))
        }
        ExprKind::Struct(fields) => {
            let field =
                |(name, value): &(Ident, Expr)| format!("{} := {}", quoted(&name.name), canonical(value));
            format!("STRUCT({})", joined(fields.iter().map(field)))
        }
        ExprKind::Lambda { parameters, body } => {
            let names = parameters.iter().map(|parameter| quoted(&parameter.name));
            format!("({}) => {}", joined(names), canonical(body))
        }
    }
}

fn sign(op: UnaryOp) -> &'static str {
    match op {
        UnaryOp::Negate => "-",
        UnaryOp::Plus => "+",
        UnaryOp::Not => "NOT ",
    }
}

fn case(operand: Option<&Expr>, branches: &[(Expr, Expr)], otherwise: Option<&Expr>) -> String {
    let mut text = "CASE".to_owned();
    let mut add = |word: &str, expr: &Expr| {
        text.push_str(word);
        text.push_str(&canonical(expr));
    };
    operand.iter().for_each(|operand| add(" ", operand));
    for (when, then) in branches {
        add(" WHEN ", when);
        add(" THEN ", then);
    }
    otherwise.iter().for_each(|otherwise| add(" ELSE ", otherwise));
    text + " END"
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

fn list(all: &[Expr]) -> String {
    joined(all.iter().map(canonical))
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

/// A name, in backquotes when it would not read back as it is.
pub fn quoted(name: &str) -> String {
    let plain = name
        .chars()
        .enumerate()
        .all(|(at, c)| c == '_' || c.is_ascii_uppercase() || (at > 0 && c.is_ascii_digit()));
    if plain {
        name.to_owned()
    } else {
        format!("`{}`", name.replace('`', "``"))
    }
}

fn literal_text(literal: &Literal) -> String {
    match literal {
        Literal::Null => "NULL".to_owned(),
        Literal::Boolean(value) => value.to_string().to_uppercase(),
        Literal::Int(value) => value.to_string(),
        Literal::BigInt(value) => value.to_string(),
        Literal::Decimal { unscaled, scale, .. } => {
            millstream_functions::java::decimal_to_string(*unscaled, *scale)
        }
        Literal::Double(value) => format!("{value:E}"),
        Literal::String(text) => format!("'{}'", text.replace('\'', "''")),
    }
}

/// Calls `visit` with the expression and everything inside it, outermost first; where it returns false, what is
/// inside is left out.
pub fn walk<'e>(expr: &'e Expr, visit: &mut dyn FnMut(&'e Expr) -> bool) {
    if !visit(expr) {
        return;
    }
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Column { .. } => {}
        ExprKind::Unary { operand, .. }
        | ExprKind::IsNull { operand, .. }
        | ExprKind::Cast { operand, .. }
        | ExprKind::Field { base: operand, .. }
        | ExprKind::Lambda { body: operand, .. } => walk(operand, visit),
        ExprKind::Binary { left, right, .. } => [left, right].into_iter().for_each(|e| walk(e, visit)),
        ExprKind::Between {
            operand, low, high, ..
        } => {
            [operand, low, high].into_iter().for_each(|e| walk(e, visit));
        }
        ExprKind::In {
            operand, candidates, ..
        } => {
            walk(operand, visit);
            candidates.iter().for_each(|e| walk(e, visit));
        }
        ExprKind::Like { operand, pattern, .. } => {
            [operand, pattern].into_iter().for_each(|e| walk(e, visit))
        }
        ExprKind::Case {
            operand,
            branches,
            otherwise,
        } => {
            operand.iter().for_each(|e| walk(e, visit));
            for (when, then) in branches {
                walk(when, visit);
                walk(then, visit);
            }
            otherwise.iter().for_each(|e| walk(e, visit));
        }
        ExprKind::Function { arguments, .. } | ExprKind::Array(arguments) => {
            arguments.iter().for_each(|e| walk(e, visit));
        }
        ExprKind::Index { base, index } => [base, index].into_iter().for_each(|e| walk(e, visit)),
        ExprKind::Map(entries) => {
            for (key, value) in entries {
                walk(key, visit);
                walk(value, visit);
            }
        }
        ExprKind::Struct(fields) => fields.iter().for_each(|(_, value)| walk(value, visit)),
    }
}

/// Every column that an expression names.
pub fn columns(expr: &Expr) -> Vec<(&Option<Ident>, &Ident)> {
    let mut found = Vec::new();
    walk(expr, &mut |e| {
        if let ExprKind::Column { qualifier, name } = &e.kind {
            found.push((qualifier, name));
        }
        true
    });
    found
}

/// The operands of the ANDs at the top.
pub fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    match &expr.kind {
        ExprKind::Binary {
            left,
            op: BinaryOp::And,
            right,
            ..
        } => {
            let mut all = conjuncts(left);
            all.extend(conjuncts(right));
            all
        }
        _ => vec![expr],
    }
}
