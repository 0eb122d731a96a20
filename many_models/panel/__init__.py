"""One table of many series, made regular: the floor that everything else stands on.

==================  ==========================================================================
`layout`            what the columns of a table are, decided from facts; all problems at once
`canonical`         a user's table to the canonical frame and back
`clock`, `zones`    time as text; the wall clock and UTC
`keys`              typed series keys: canonical text, hash, seed
`grid`              frequencies, and period numbers to stamps and back
`frequency`         the frequency read off the stamps
`preparation`       rows of one series to arrays on a grid; training parts, horizons, actuals
`regular`           the grid of one series, and rolling finer rows up to it
`imputation`        filling holes from one part of a series alone
`demand`            the class of demand, outliers
`folds`             where a series is cut for its backtest
`findings`          what was seen or done, and the table of codes
`series`            what a learner may see, and what it is asked for
`extension`         a stored history moved on by newer rows
==================  ==========================================================================
"""
