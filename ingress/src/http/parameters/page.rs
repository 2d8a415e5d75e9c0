//! Pages of lists: the parameters `?after=&limit=`, their bounds, and the cursor of the next page.
//!
//! Every list reads one row more than a page has. The extra row shows that there is a next page.

use serde::Deserialize;

use crate::http::problem::{FieldError, Problem};

/// The items on a page when the request has no `limit`.
pub const PAGE_ITEMS: i64 = 50;
pub const PAGE_ITEMS_MAX: i64 = 200;

/// The query parameters of a list. Values are strings here, so that the response can list every invalid one.
#[derive(Debug, Deserialize)]
pub struct PageQuery {
    after: Option<String>,
    limit: Option<String>,
}

/// The number of items on a page.
#[derive(Clone, Copy, Debug)]
pub struct PageLimit(i64);

impl PageLimit {
    /// The number of rows to read for a page.
    #[must_use]
    pub fn rows(self) -> i64 {
        self.0 + 1
    }

    /// Cuts the rows to the page. Returns the cursor of the next page, made from the page's last row.
    pub fn cut<T, C>(self, rows: &mut Vec<T>, cursor: impl FnOnce(&T) -> C) -> Option<C> {
        let has_next = rows.len() as i64 > self.0;
        rows.truncate(self.0 as usize);
        rows.last().filter(|_| has_next).map(cursor)
    }
}

impl PageQuery {
    /// Parses `limit`. An invalid one is added to `errors`.
    pub fn limit(&self, errors: &mut Vec<FieldError>) -> PageLimit {
        let limit = parse_number(self.limit.as_deref(), PAGE_ITEMS)
            .filter(|limit| (1..=PAGE_ITEMS_MAX).contains(limit));
        if limit.is_none() {
            let message = format!("must be a whole number from 1 to {PAGE_ITEMS_MAX}");
            errors.push(FieldError::new("limit", message));
        }
        PageLimit(limit.unwrap_or(PAGE_ITEMS))
    }

    /// Parses `after`, when the request has it. An invalid one is added to `errors`.
    pub fn after<C>(
        &self,
        parse: impl FnOnce(&str) -> Option<C>,
        errors: &mut Vec<FieldError>,
    ) -> Option<C> {
        let after = self.after.as_deref().map(parse);
        if matches!(after, Some(None)) {
            let message = "must be the `next` of the previous page";
            errors.push(FieldError::new("after", message));
        }
        after.flatten()
    }

    /// Parses both parameters of a list whose cursor is a number.
    ///
    /// # Errors
    /// 422 with each invalid parameter.
    pub fn numbered(&self) -> Result<(i64, PageLimit), Problem> {
        let mut errors = Vec::new();
        let after = parse_number(self.after.as_deref(), 0).filter(|after| *after >= 0);
        if after.is_none() {
            let message = format!("must be a whole number from 0 to {}", i64::MAX);
            errors.push(FieldError::new("after", message));
        }
        let limit = self.limit(&mut errors);
        check(&errors)?;
        Ok((after.unwrap_or(0), limit))
    }
}

fn parse_number(text: Option<&str>, default: i64) -> Option<i64> {
    text.map_or(Some(default), |text| text.parse().ok())
}

/// # Errors
/// 422 when there is an error.
pub fn check(errors: &[FieldError]) -> Result<(), Problem> {
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Problem::invalid_request(errors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(after: Option<&str>, limit: Option<&str>) -> PageQuery {
        let [after, limit] = [after, limit].map(|text| text.map(str::to_owned));
        PageQuery { after, limit }
    }

    #[test]
    fn page_limit_is_from_1_to_200_and_50_by_default() {
        let rows = |limit| query(None, limit).numbered().map(|(_, limit)| limit.rows());
        assert_eq!(rows(None).unwrap(), 51);
        assert_eq!(rows(Some("1")).unwrap(), 2);
        assert_eq!(rows(Some("200")).unwrap(), 201);
        for invalid in ["0", "201", "-1", "x", "", "1.5"] {
            assert!(rows(Some(invalid)).is_err(), "{invalid}");
        }
    }

    #[test]
    fn next_page_follows_the_last_item_of_a_full_page() {
        let (_, limit) = query(None, Some("2")).numbered().unwrap();
        for (rows, next) in [(vec![1, 2, 3], Some(2)), (vec![1, 2], None), (vec![], None)] {
            let mut rows = rows;
            assert_eq!(limit.cut(&mut rows, |last| *last), next);
            assert!(rows.len() <= 2);
        }
    }
}
