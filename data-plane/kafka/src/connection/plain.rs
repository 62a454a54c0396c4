//! SASL's PLAIN message (RFC 4616): `authzid NUL authcid NUL passwd`.

/// Key id and secret from a PLAIN message.
///
/// # Errors
/// In words for the client.
pub(super) fn parse(message: &[u8]) -> Result<(&str, &str), &'static str> {
    let text = std::str::from_utf8(message).map_err(|_| "the PLAIN message is not UTF-8")?;
    let mut parts = text.split('\0');
    let (Some(authzid), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("the PLAIN message must have three parts");
    };
    if user.is_empty() || password.is_empty() {
        return Err("user (key id) and password (secret) must not be empty");
    }
    if !authzid.is_empty() && authzid != user {
        return Err("the authorization id must be empty or the user");
    }
    Ok((user, password))
}
