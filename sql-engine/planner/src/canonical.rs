//! Expressions as text that is the same for the same meaning, and what an expression mentions.

use millstream_parser::{BinaryOp, Expr, ExprKind, Ident, Literal, UnaryOp};

/// The expression as text: names unqualified, parentheses around every operation, one blank between words.
pub fn canonical(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Literal(literal) => literal_text(literal),
        ExprKind::Column { name, .. } => quoted(&name.name),
        ExprKind::Unary { op, operand } => {
            let sign = match op {
                UnaryOp::Negate => "-",
                UnaryOp::Plus => "+",
                UnaryOp::Not => "NOT ",
            };
            format!("({sign}{})", canonical(operand))
        }
        ExprKind::Binary { left, op, right, .. } => {
            format!("({} {op} {})", canonical(left), canonical(right))
        }
        ExprKind::Between {
            operand,
            negated,
            low,
            high,
        } => {
            format!(
                "({} {}BETWEEN {} AND {})",
                canonical(operand),
                not(*negated),
                canonical(low),
                canonical(high)
            )
        }
        ExprKind::In {
            operand,
            negated,
            candidates,
        } => {
            format!(
                "({} {}IN ({}))",
                canonical(operand),
                not(*negated),
                list(candidates)
            )
        }
        ExprKind::Like {
            operand,
            negated,
            pattern,
            escape,
        } => {
            let escape = escape.map_or(String::new(), |c| format!(" ESCAPE '{c}'"));
            format!(
                "({} {}LIKE {}{escape})",
                canonical(operand),
                not(*negated),
                canonical(pattern)
            )
        }
        ExprKind::IsNull { operand, negated } => format!("({} IS {}NULL)", canonical(operand), not(*negated)),
        ExprKind::Case {
            operand,
            branches,
            otherwise,
        } => {
            let mut text = "CASE".to_owned();
            operand
                .iter()
                .for_each(|operand| text.push_str(&format!(" {}", canonical(operand))));
            for (when, then) in branches {
                text.push_str(&format!(" WHEN {} THEN {}", canonical(when), canonical(then)));
            }
            otherwise
                .iter()
                .for_each(|otherwise| text.push_str(&format!(" ELSE {}", canonical(otherwise))));
            text + " END"
        }
        ExprKind::Cast { operand, sql_type } => format!("CAST({} AS {sql_type})", canonical(operand)),
        ExprKind::Function { name, star: true, .. } => format!("{}(*)", name.name),
        ExprKind::Function { name, arguments, .. } => format!("{}({})", name.name, list(arguments)),
        ExprKind::Field { base, field } => format!("{}->{}", canonical(base), quoted(&field.name)),
        ExprKind::Index { base, index } => format!("{}[{}]", canonical(base), canonical(index)),
        ExprKind::Array(elements) => format!("ARRAY[{}]", list(elements)),
        ExprKind::Map(entries) => {
            let entries = entries
                .iter()
                .map(|(k, v)| format!("{} := {}", canonical(k), canonical(v)));
            format!("MAP({})", entries.collect::<Vec<_>>().join(", "))
        }
        ExprKind::Struct(fields) => {
            let fields = fields
                .iter()
                .map(|(k, v)| format!("{} := {}", quoted(&k.name), canonical(v)));
            format!("STRUCT({})", fields.collect::<Vec<_>>().join(", "))
        }
        ExprKind::Lambda { parameters, body } => {
            let names = parameters
                .iter()
                .map(|p| quoted(&p.name))
                .collect::<Vec<_>>()
                .join(", ");
            format!("({names}) => {}", canonical(body))
        }
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

fn list(all: &[Expr]) -> String {
    all.iter().map(canonical).collect::<Vec<_>>().join(", ")
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
