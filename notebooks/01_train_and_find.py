# Databricks notebook source
# MAGIC %md
# MAGIC # One forecaster per store and item: train, register, find, forecast
# MAGIC
# MAGIC A seeded retail chain stands in for your table: replace `retail(...)` by `spark.table(...)` or
# MAGIC `pd.read_parquet(...)` and name your columns in the configuration. On Databricks (17.3 LTS or later, or
# MAGIC serverless) install the package without the `spark` extra: the runtime brings its own Spark.

# COMMAND ----------

# MAGIC %pip install many-models
# MAGIC %restart_python

# COMMAND ----------

from pathlib import Path
from tempfile import mkdtemp

from many_models import ForecastSpec, open_models, train
from many_models.datasets import retail

# Sales of two stores and three items over two years, and the plan for the next four weeks:
# rows with prices and promotions, but no sales yet.
frame = retail(stores=2, items=3, periods=104, frequency="W", future=4, seed=7)
last = frame.loc[frame["sales"].notna(), "date"].max()
plan = frame.loc[frame["date"] > last, ["store", "item", "date", "price", "promotion"]]
frame[frame["date"] <= last].tail(4)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What identifies a series, what is known ahead
# MAGIC
# MAGIC `known` columns are known for the weeks to come, as prices and promotions are once they are planned.
# MAGIC `mask` says when the shelf was empty: what was sold then is no demand. A misspelt name is refused here, with the nearest one.

# COMMAND ----------

spec = ForecastSpec.from_dict(
    {
        "name": "retail",
        "data": {
            "time": "date",
            "target": "sales",
            "series": ["store", "item"],
            "known": ["price", "promotion"],
            "mask": "stock_out",
        },
        "forecast": {"horizon": 4},
        "learners": {"preset": "fast"},
        "features": {"holidays": {"country": "US"}},
    }
)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Train one forecaster per key
# MAGIC
# MAGIC With a Spark data frame Spark runs the groups; with a pandas frame this machine does. Both give the same forecasts.

# COMMAND ----------

folder = Path(mkdtemp(prefix="many-models-"))
run = train(frame, spec, run_dir=folder / "run")
run.summary

# COMMAND ----------

# One row per series: its outcome, the learner that serves it, its score and its skill against seasonal naive.
run.results()

# COMMAND ----------

# One row per candidate, over all series: how often it has weight, and how it compares with the combination (below 1: better).
run.leaderboard()

# COMMAND ----------

# What was seen in the data and done about it: nothing is repaired in silence.
run.findings().groupby(["code", "severity"], as_index=False)["count"].sum()

# COMMAND ----------

first = run.results().loc[0, ["store", "item"]].to_dict()
run.plot(**first)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Register all forecasters as one version, find one by its key
# MAGIC
# MAGIC Leave `tracking_uri` out to use your own registry: Databricks', or the one in `MLFLOW_TRACKING_URI`.
# MAGIC In Unity Catalog the name is `catalog.schema.retail`.

# COMMAND ----------

registry = f"sqlite:///{folder}/mlflow.db"
version = run.register("retail", alias="champion", tracking_uri=registry)
models = open_models("models:/retail@champion", tracking_uri=registry)
key = models.keys().loc[0, ["store", "item"]].to_dict()
forecaster = models.find(key)
forecaster.record

# COMMAND ----------

# MAGIC %md
# MAGIC ## Forecast exactly the rows you ask for
# MAGIC
# MAGIC Rows with the known covariates in, one answer per row out, in their order. A row that cannot be
# MAGIC forecast says why in `reason`. Hand over a Spark table, and the answer is a Spark table.

# COMMAND ----------

forecasts = models.forecast(future=plan)
forecasts.head(8)

# COMMAND ----------

# The same for one key; without rows to answer, its next four weeks by the model that needs no prices.
forecaster.forecast()
