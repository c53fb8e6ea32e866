-- The models that each browser's workers said they could run, as they said last.
SELECT browser, feature[7:] AS model, arg_max(value, c.at) AS family
FROM capabilities c
WHERE starts_with(feature, 'model ')
GROUP BY browser, feature
ORDER BY model, browser
