//! The comments of a proto file, by what they stand before.

use std::collections::HashMap;

use anyhow::Context as _;
use prost_types::FileDescriptorProto;

/// Numbers of the fields of descriptors, of which a place in a file is made (descriptor.proto).
pub(super) mod part {
    pub(in crate::api_docs) const MESSAGE: i32 = 4;
    pub(in crate::api_docs) const ENUM: i32 = 5;
    pub(in crate::api_docs) const SERVICE: i32 = 6;
    pub(in crate::api_docs) const NESTED_MESSAGE: i32 = 3;
    pub(in crate::api_docs) const NESTED_ENUM: i32 = 4;
    /// Fields of a message, values of an enum, methods of a service.
    pub(in crate::api_docs) const MEMBER: i32 = 2;
}

/// Where something stands in a file.
pub(super) type Place = Vec<i32>;

/// The place of the `index`th part of a kind inside another place.
pub(super) fn inside(place: &[i32], kind: i32, index: usize) -> anyhow::Result<Place> {
    Ok([place, &[kind, i32::try_from(index)?]].concat())
}

/// All comments of a file.
pub(super) struct Comments(HashMap<Place, String>);

impl Comments {
    /// Those of this file.
    pub(super) fn of(file: &FileDescriptorProto) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        Self(locations.map(|location| (location.path.clone(), location.leading_comments().to_owned())).collect())
    }

    /// What is written before a place.
    ///
    /// # Errors
    /// Where nothing is: what has no words cannot be used.
    pub(super) fn before(&self, place: &[i32], name: &str) -> anyhow::Result<String> {
        let comment = self.0.get(place).map(|comment| comment.trim()).filter(|comment| !comment.is_empty());
        let comment = comment.with_context(|| format!("{name} has no comment"))?;
        Ok(comment.lines().map(str::trim).collect::<Vec<_>>().join("\n"))
    }
}
