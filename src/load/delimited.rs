//! Tables as text, one record a line, as Python's `csv` module takes them.

/// Where in a record one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the beginning of a field.
    Start,
    /// In a field without quotes.
    Plain,
    /// Within quotes.
    Quoted,
    /// Behind a quote that ends the quotes, unless another one follows.
    Closed,
}

/// Finds the ends of records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    delimiter: u8,
    place: Place,
}

impl Ends {
    pub(super) fn new(delimiter: u8) -> Self {
        Self { delimiter, place: Place::Start }
    }

    /// Goes through more of a text; answers how much of it there is up to the end of the last record in it.
    pub(super) fn last(&mut self, text: &[u8]) -> Option<usize> {
        let mut last = None;
        for (index, &byte) in text.iter().enumerate() {
            self.place = match (self.place, byte) {
                (Place::Quoted, b'"') => Place::Closed,
                (Place::Quoted, _) | (Place::Start | Place::Closed, b'"') => Place::Quoted,
                (_, b'\n' | b'\r') => {
                    last = Some(index + 1);
                    Place::Start
                }
                (_, byte) if byte == self.delimiter => Place::Start,
                _ => Place::Plain,
            };
        }
        last
    }
}

/// Takes records off the front of a text.
pub(super) struct Records<'a> {
    text: &'a str,
    delimiter: u8,
    /// How much of the text was taken.
    pub(super) at: usize,
    fields: Vec<u8>,
    ends: Vec<usize>,
}

impl<'a> Records<'a> {
    pub(super) fn new(text: &'a str, delimiter: u8) -> Self {
        Self { text, delimiter, at: 0, fields: Vec::new(), ends: Vec::new() }
    }

    /// Takes the next record that is not blank; answers where it began, or nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<usize>, String> {
        loop {
            let began = self.at;
            if began == self.text.len() {
                return Ok(None);
            }
            if self.record()? {
                return Ok(Some(began));
            }
        }
    }

    /// How many fields the record has that was taken last.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// One of its fields.
    pub(super) fn field(&self, index: usize) -> Result<&str, String> {
        let from = if index == 0 { 0 } else { self.ends[index - 1] };
        std::str::from_utf8(&self.fields[from..self.ends[index]]).map_err(|_| "a field is not text".into())
    }

    /// Takes a record; answers whether it has fields.
    fn record(&mut self) -> Result<bool, String> {
        self.fields.clear();
        self.ends.clear();
        let bytes = self.text.as_bytes();
        let mut place = Place::Start;
        let began = self.at;
        while let Some(&byte) = bytes.get(self.at) {
            self.at += 1;
            place = match (place, byte) {
                (Place::Quoted, b'"') => Place::Closed,
                (Place::Start, b'"') => Place::Quoted,
                (Place::Closed, b'"') => {
                    self.fields.push(b'"');
                    Place::Quoted
                }
                (Place::Start | Place::Plain | Place::Closed, b'\n' | b'\r') => {
                    if byte == b'\r' && bytes.get(self.at) == Some(&b'\n') {
                        self.at += 1;
                    }
                    let is_blank = self.at - began <= 2 && bytes[began] == byte;
                    if !is_blank {
                        self.ends.push(self.fields.len());
                    }
                    return Ok(!is_blank);
                }
                (Place::Start | Place::Plain | Place::Closed, byte) if byte == self.delimiter => {
                    self.ends.push(self.fields.len());
                    Place::Start
                }
                (place, byte) => {
                    self.fields.push(byte);
                    if place == Place::Quoted { Place::Quoted } else { Place::Plain }
                }
            };
        }
        if place == Place::Quoted {
            return Err("a quoted field has no end".into());
        }
        self.ends.push(self.fields.len());
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Vec<Vec<String>> {
        let mut records = Records::new(text, b',');
        let mut all = Vec::new();
        while records.next().unwrap().is_some() {
            all.push((0..records.len()).map(|index| records.field(index).unwrap().to_owned()).collect());
        }
        all
    }

    #[test]
    fn records_are_taken_apart_as_the_csv_module_does() {
        let text = "a,b\r\n\r\n\"x, \"\"y\"\"\nz\",\n,5\" pipe\r\"q\"tail,\"\"\n\n\"\"";
        let expected: &[&[&str]] =
            &[&["a", "b"], &["x, \"y\"\nz", ""], &["", "5\" pipe"], &["qtail", ""], &[""]];
        assert_eq!(records(text), expected);
        assert!(Records::new("a,\"b\n", b',').next().is_err());
    }

    #[test]
    fn a_text_may_be_cut_at_each_end_of_a_record() {
        let text = "a,b\n\"1\n2\",\"\"\"\n\"\n3,4\"\n5,6\r\n7,\"8\"";
        let whole = records(text);
        for cut in 0..=text.len() {
            let mut ends = Ends::new(b',');
            let first = ends.last(&text.as_bytes()[..cut]).unwrap_or(0);
            let second = ends.last(&text.as_bytes()[cut..]).map_or(first, |end| cut + end);
            let mut parts = records(&text[..first]);
            parts.extend(records(&text[first..second]));
            parts.extend(records(&text[second..]));
            assert_eq!(parts, whole, "cut at {cut}");
        }
    }
}
