"""The controller: it runs plans on an executor, stores what they report, and concludes."""
