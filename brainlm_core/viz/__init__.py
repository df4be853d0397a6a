"""What pictures look like, without a screen: brain panels as values, their bytes, colours, words, HTML.

The dashboard shows them through Streamlit, a report carries them in one file; both get the same.
"""
