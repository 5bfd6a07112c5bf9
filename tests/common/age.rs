//! A pair of keys of age, from `age-keygen`. They protect nothing.

pub(crate) const IDENTITY: &str =
    "AGE-SECRET-KEY-132ZXSM8PAALMCUTTPJ36A5VXPA2QGTT28H5W2M5DZQW2D75LMLXS699JHD";
pub(crate) const RECIPIENT: &str = "age10qmw2q4c9zt2ug657609nr7ecasy7hpz75709r9jfsuujnkxw4hq9pu7ju";
