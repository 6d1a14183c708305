//! The page: services with their methods, then messages and enums in the order of their names.

use std::{collections::BTreeMap, fmt::Write as _};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, MethodDescriptorProto,
    ServiceDescriptorProto,
};

use super::comments::{Comments, inside, part};

const HEAD: &str = "\
# API reference

Every service, message and enum of `tollgate.v1`, as the comments in [proto/tollgate/v1](../proto/tollgate/v1) say.
[proto/README.md](../proto/README.md) tells how to use the files in other languages. This page is made by `cargo xtask api-docs`.

Amounts of money are decimal strings. A refusal carries a `google.rpc.ErrorInfo` with the domain `tollgate` and a reason of
[ErrorReason](#errorreason); what is invalid also carries a `google.rpc.BadRequest` with every field that is.
";

/// How the types of the package begin in descriptors.
const OWN: &str = ".tollgate.v1.";
/// How the well-known types begin.
const WELL_KNOWN: &str = ".google.protobuf.";

/// Makes the page.
///
/// # Errors
/// Where something has no comment.
pub(super) fn of<'a>(files: impl Iterator<Item = &'a FileDescriptorProto>) -> anyhow::Result<String> {
    let mut services = BTreeMap::new();
    let mut types = BTreeMap::new();
    for file in files {
        let comments = Comments::of(file);
        for (index, service) in file.service.iter().enumerate() {
            let place = inside(&[], part::SERVICE, index)?;
            services.insert(service.name().to_owned(), of_service(service, &comments, &place)?);
        }
        for (index, message) in file.message_type.iter().enumerate() {
            let place = inside(&[], part::MESSAGE, index)?;
            add_message("", message, &comments, &place, &mut types)?;
        }
        for (index, values) in file.enum_type.iter().enumerate() {
            let place = inside(&[], part::ENUM, index)?;
            types.insert(values.name().to_owned(), of_enum(values.name(), values, &comments, &place)?);
        }
    }
    let mut page = HEAD.to_owned();
    writeln!(page, "\n## Services\n")?;
    for name in services.keys() {
        writeln!(page, "- {}", link(name))?;
    }
    for text in services.values() {
        write!(page, "\n{text}")?;
    }
    writeln!(page, "\n## Messages and enums")?;
    for text in types.values() {
        write!(page, "\n{text}")?;
    }
    Ok(page)
}

fn of_service(service: &ServiceDescriptorProto, comments: &Comments, place: &[i32]) -> anyhow::Result<String> {
    let name = service.name();
    let mut text = format!(
        "### {name}\n\n{}\n\n| method | request | answer | |\n|---|---|---|---|\n",
        comments.before(place, name)?
    );
    for (index, method) in service.method.iter().enumerate() {
        let comment = comments.before(&inside(place, part::MEMBER, index)?, method.name())?;
        let MethodDescriptorProto { client_streaming, server_streaming, .. } = method;
        let side = |name: &str, streaming: &Option<bool>| {
            let stream = if streaming.unwrap_or_default() { "stream of " } else { "" };
            format!("{stream}{}", type_name(name))
        };
        let (request, answer) =
            (side(method.input_type(), client_streaming), side(method.output_type(), server_streaming));
        writeln!(text, "| `{}` | {request} | {answer} | {} |", method.name(), cell(&comment))?;
    }
    Ok(text)
}

fn add_message(
    outer: &str,
    message: &DescriptorProto,
    comments: &Comments,
    place: &[i32],
    types: &mut BTreeMap<String, String>,
) -> anyhow::Result<()> {
    let is_entry = |message: &DescriptorProto| message.options.as_ref().is_some_and(|options| options.map_entry());
    let name = format!("{outer}{}", message.name());
    let entries: BTreeMap<String, &DescriptorProto> = message
        .nested_type
        .iter()
        .filter(|nested| is_entry(nested))
        .map(|entry| (format!("{OWN}{name}.{}", entry.name()), entry))
        .collect();
    let mut text = format!("### {name}\n\n{}\n", comments.before(place, &name)?);
    if !message.field.is_empty() {
        writeln!(text, "\n| field | type | |\n|---|---|---|")?;
    }
    for (index, field) in message.field.iter().enumerate() {
        let comment = comments.before(&inside(place, part::MEMBER, index)?, &format!("{name}.{}", field.name()))?;
        let choice = one_of(message, field).map(|choice| format!(" (one of `{choice}`)")).unwrap_or_default();
        let kind = kind(field, &entries);
        writeln!(text, "| `{}` = {}{choice} | {kind} | {} |", field.name(), field.number(), cell(&comment))?;
    }
    types.insert(name.clone(), text);
    for (index, nested) in message.nested_type.iter().enumerate().filter(|(_, nested)| !is_entry(nested)) {
        let place = inside(place, part::NESTED_MESSAGE, index)?;
        add_message(&format!("{name}."), nested, comments, &place, types)?;
    }
    for (index, values) in message.enum_type.iter().enumerate() {
        let place = inside(place, part::NESTED_ENUM, index)?;
        let name = format!("{name}.{}", values.name());
        types.insert(name.clone(), of_enum(&name, values, comments, &place)?);
    }
    Ok(())
}

fn of_enum(name: &str, values: &EnumDescriptorProto, comments: &Comments, place: &[i32]) -> anyhow::Result<String> {
    let mut text = format!("### {name}\n\n{}\n\n| value | |\n|---|---|\n", comments.before(place, name)?);
    for (index, value) in values.value.iter().enumerate() {
        let comment = comments.before(&inside(place, part::MEMBER, index)?, value.name())?;
        writeln!(text, "| `{}` = {} | {} |", value.name(), value.number(), cell(&comment))?;
    }
    Ok(text)
}

/// The choice that a field is a part of; a field that may be unset is none.
fn one_of<'a>(message: &'a DescriptorProto, field: &FieldDescriptorProto) -> Option<&'a str> {
    let index = field.oneof_index.filter(|_| !field.proto3_optional())?;
    message.oneof_decl.get(usize::try_from(index).ok()?).map(|choice| choice.name())
}

fn kind(field: &FieldDescriptorProto, entries: &BTreeMap<String, &DescriptorProto>) -> String {
    if let Some([key, value]) = entries.get(field.type_name()).map(|entry| entry.field.as_slice()) {
        return format!("map of {} to {}", single(key), single(value));
    }
    match (field.label(), field.proto3_optional()) {
        (Label::Repeated, _) => format!("repeated {}", single(field)),
        (_, true) => format!("optional {}", single(field)),
        _ => single(field),
    }
}

fn single(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum | Type::Group => type_name(field.type_name()),
        plain => format!("`{}`", plain.as_str_name().trim_start_matches("TYPE_").to_lowercase()),
    }
}

fn type_name(name: &str) -> String {
    match (name.strip_prefix(OWN), name.strip_prefix(WELL_KNOWN)) {
        (Some(own), _) => link(own),
        (_, Some(known)) => format!("`google.protobuf.{known}`"),
        _ => format!("`{}`", name.trim_start_matches('.')),
    }
}

fn link(name: &str) -> String {
    format!("[{name}](#{})", name.replace('.', "").to_lowercase())
}

/// A comment as a cell of a table: one line, no bars.
fn cell(comment: &str) -> String {
    comment.replace("\n\n", " <br> ").replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_fits_into_a_cell() {
        assert_eq!(cell("One | two\nthree.\n\nFour."), "One \\| two three. <br> Four.");
    }

    #[test]
    fn types_link_to_their_headings() {
        assert_eq!(type_name(".tollgate.v1.Budget.Rule"), "[Budget.Rule](#budgetrule)");
        assert_eq!(type_name(".google.protobuf.Duration"), "`google.protobuf.Duration`");
    }

    #[test]
    fn what_has_no_comment_is_refused() {
        let message = DescriptorProto { name: Some("Bare".to_owned()), ..DescriptorProto::default() };
        let file = FileDescriptorProto { message_type: vec![message], ..FileDescriptorProto::default() };
        assert_eq!(of([&file].into_iter()).unwrap_err().to_string(), "Bare has no comment");
    }
}
